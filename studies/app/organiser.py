"""The organiser's page at /organiser: how the study is getting on. The outcome is hidden until asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from studies.app.frame import begin_page
from studies.app.records import export_token
from studies.app.server import serving
from studies.app.sign_in import signed_in
from studies.enrolment import invite
from studies.opening import OpenStudy, set_state
from studies.outcome import outcome
from studies.progress import Progress, progress

REFRESH_SECONDS = 20
STATES = {"open": "Open", "paused": "Paused: nobody new is admitted", "closed": "Closed: no more answers"}


def organiser_page() -> None:
    """Show the study to who is its organiser."""
    opened = serving().opened
    begin_page("organiser", "en")
    st.title(f"Study {opened.study.name}")
    if signed_in():
        _overview(opened)
        _control(opened)
        _outcome(opened)


@st.fragment(run_every=REFRESH_SECONDS)
def _overview(opened: OpenStudy) -> None:
    simulated = st.toggle("Simulated listeners instead of people", key="organiser_simulated")
    found = progress(opened, simulated=simulated)
    st.markdown(f"**{STATES[found.state]}.** Target: {found.target} rated trials.")
    share = min(1.0, found.ratings / found.target) if found.target else 1.0
    st.progress(share, f"{found.ratings} of {found.target} trials rated ({share:.0%})")
    people = found.participants
    _numbers({
        "Finished": people.get("finished", 0),
        "On their way": people.get("on the way", 0),
        "Overdue": people.get("overdue", 0),
        "Dropped out": people.get("dropped", 0),
        "Withdrawn": people.get("withdrawn", 0) + people.get("erased", 0),
        "Places free": found.places - found.places_taken,
    })  # fmt: skip
    _numbers({
        "Median duration": _time(found.median_minutes, "min"),
        "Median per answer": _time(found.median_seconds, "s"),
        **{name.capitalize(): count for name, count in found.flags.items()},
    })  # fmt: skip
    _balance(found)


def _numbers(values: dict[str, Any]) -> None:
    with st.container(horizontal=True):
        for name, value in values.items():
            st.metric(name, value, width="content")


def _time(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.1f} {unit}"


def _balance(found: Progress) -> None:
    worst = max(found.imbalance.values(), default=0)
    parts = ", ".join(f"{name} {difference}" for name, difference in found.imbalance.items())
    verdict = "Balanced" if worst <= 1 else "Not balanced at the moment (places of drop-outs are handed out again)"
    st.markdown(f"**{verdict}.** Largest minus smallest count among the places taken: {parts or 'none yet'}.")


def _control(opened: OpenStudy) -> None:
    st.subheader("Control")
    with st.container(horizontal=True):
        st.button("Pause", on_click=set_state, args=(opened, "paused"), help="Nobody new; who has begun may finish.")
        st.button("Open", on_click=set_state, args=(opened, "open"))
        st.link_button(
            "Export as ZIP", f"export/{export_token(opened)}", help="Good for ten minutes; without free texts."
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        sure = st.checkbox("Close for good: unfinished participants cannot go on", key="organiser_sure")
        st.button("Close", disabled=not sure, on_click=set_state, args=(opened, "closed"))
    if opened.study.recruitment.kind == "invitation":
        _invitations(opened)


def _invitations(opened: OpenStudy) -> None:
    number = st.number_input("New invitations", 1, 1000, 10, key="organiser_invitations")
    if st.button("Make invitations"):
        st.caption("Each is good for one person. They are shown once; only their hashes are stored.")
        st.code("\n".join(f"?invitation={code}" for code in invite(opened, int(number))), language=None)


def _outcome(opened: OpenStudy) -> None:
    st.subheader("Outcome")
    st.markdown("Hidden, because whoever looks at results before the end is tempted to stop at the right moment.")
    if not st.toggle("Show the outcome so far", key="organiser_outcome"):
        return
    for question, table in outcome(opened, simulated=st.session_state.get("organiser_simulated", False)).items():
        st.markdown(f"**{question}**")
        if table is None:
            st.markdown("No answers yet.")
        else:
            _markdown_table(table.head, table.rows)


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [" | ".join(map(_escaped, row)) for row in (head, ["---"] * len(head), *rows)]
    st.markdown("\n".join(f"| {line} |" for line in lines))


def _escaped(text: str) -> str:
    return text if text == "---" else text.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
