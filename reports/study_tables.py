"""The systems of a listening study as LaTeX (booktabs). Text in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from reports.formatting import interval, number
from reports.listening import slug
from reports.study_sections import QuestionSection, StudySection
from reports.tables import tex_escape


def study_tex(studies: Sequence[StudySection]) -> str:
    """A ``table`` environment for each question of each study, best system first."""
    return "".join(_table(study, question) for study in studies for question in study.questions)


def _table(study: StudySection, question: QuestionSection) -> str:
    simulated = "SIMULATED LISTENERS. " if study.record.simulated else ""
    caption = (
        f"{simulated}{study.heading}: {question.text or question.name} {question.found['model']}; "
        f"{question.answers}. Systems that share a letter are not shown to differ (Holm)."
    )
    share = bool(question.share)
    heads = ["System", question.found["unit"], "95 % interval", "", *([question.share] if share else []), "n"]
    lines = [
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{tex_escape(caption)}}}",
        rf"\label{{tab:evalkit-{study.record.label}-{slug(question.name)}}}",
        rf"\begin{{tabular}}{{lrrl{'r' * (len(heads) - 4)}}}",
        r"\toprule",
        " & ".join(map(tex_escape, heads)) + r" \\",
        r"\midrule",
        *(_row(question, i) for i in range(len(question.rows))),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n" + "\n".join(lines)


def _row(question: QuestionSection, index: int) -> str:
    row = question.rows[index]
    value = number(row.value, question.decimals).replace("-", "−")
    ends = (interval(row.ci95, question.decimals) or "").replace("-", "−")
    share = [] if not question.share else ["" if row.share is None else f"{row.share:.0%}"]
    return " & ".join(tex_escape(text) for text in (row.system, value, ends, row.letters, *share, str(row.n))) + r" \\"
