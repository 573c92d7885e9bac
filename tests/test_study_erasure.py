"""Requests about persons: who is meant, what is removed of them, who has finished, and the retention date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from click.testing import CliRunner

from evalkit.errors import UserError
from studies import session
from studies.app.words import words_of
from studies.cli import study as command
from studies.enrolment import remove_simulated
from studies.erasure import erase, erase_by_id, erase_expired
from studies.export import make_tables
from studies.lookup import completions, completions_by_id
from studies.opening import set_state
from studies.progress import progress
from studies.simulate import default_truth, simulate
from studies.store import EventRow, ExternalIdRow, FreeTextRow, PageRow, ParticipantRow, ResponseRow, Table, TrialRow

PROLIFIC = {"kind": "prolific", "completion_code": "C1ABCDEF"}
RETENTION = dt.date(2027, 1, 31)


def states(one: Any) -> list[str]:
    with one.opened.store.reading() as reading:
        return list(reading.scalars(sa.select(ParticipantRow.state).order_by(ParticipantRow.id)))


def stored(one: Any) -> str:
    """All that is stored of participants, as text."""
    with one.opened.store.reading() as reading:
        tables = [table for table in Table.metadata.sorted_tables if table.name != "studies"]
        return str([tuple(row) for table in tables for row in reading.execute(sa.select(table))])


# ---- who is meant --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["withdraw", "pseudonym", "completion code", "completion code as written by hand"])
def test_a_person_can_be_removed_without_a_trace(open_one, refused, how: str) -> None:
    background = [{"name": "why", "text": "?", "kind": "text"}, {"name": "age", "text": "?", "kind": "number"}]
    one = open_one(target={"participants": 1}, background=background)
    token = session.enrol(one.opened)
    session.give_consent(one.opened, token, True)
    session.answer_background(one.opened, token, {"why": "a secret reason", "age": 61.5})
    session.set_sound(one.opened, token, {"volume_set": True, "listening_with": "earphones"})
    code = one.complete(token).code
    if how == "withdraw":
        session.withdraw(one.opened, token)
    elif how == "pseudonym":
        erase(one.opened, session.participant(one.opened, token).code)
    else:
        erase(one.opened, code if how == "completion code" else f" {code.lower()} ")
    for table in (ResponseRow, EventRow, PageRow, TrialRow, FreeTextRow, ExternalIdRow):
        assert one.count(table) == 0
    assert not [word for word in ("secret", "61.5", "earphones", code) if word in stored(one)]
    with one.opened.store.reading() as records:
        row = dict(records.execute(sa.select(ParticipantRow.__table__)).mappings().one())
    about = ("page_id", "consent_at", "consent_sha256", "background", "sound", "finished_at", "completion_code")
    assert {row[column] for column in about} == {None}
    assert {row["seen_at"], row["lease_until"]} == {row["created_at"]}
    assert progress(one.opened).participants == {"withdrawn" if how == "withdraw" else "erased": 1}
    with refused("unknown_token"):
        session.participant(one.opened, token)
    assert session.enrol(one.opened)  # the place is free again


@pytest.mark.parametrize(("kind", "who"), [("invitation", "invitation"), ("prolific", "prolific_id")])
def test_who_came_with_an_id_is_found_by_it_alone(open_one, database: str, kind: str, who: str) -> None:
    one = open_one(url=database, recruitment=PROLIFIC if kind == "prolific" else {"kind": kind})
    ids = session.invite(one.opened, 3) if kind == "invitation" else ["5f0a", "5f0b", "5f0c"]
    for external in ids[:2]:
        one.complete(one.begin(**{who: external}))
    for nobody in (ids[2], "5f"):
        with pytest.raises(UserError, match=f"--{kind}: nobody in fixture came with '{nobody}'"):
            erase_by_id(one.opened, kind, nobody)
    erase_by_id(one.opened, kind, f" {ids[1]}\n")
    assert states(one) == ["finished", "erased"]
    with pytest.raises(UserError, match="nobody in fixture"):
        erase_by_id(one.opened, kind, ids[1])


@pytest.mark.parametrize("code", ["p-nobody", "1F2E3D4C", "", "None"])
def test_erasing_somebody_unknown_is_a_mistake(one, code: str) -> None:
    session.enrol(one.opened)  # without a completion code
    with pytest.raises(UserError, match=f"--participant: no participant '{code}' in fixture"):
        erase(one.opened, code)
    assert states(one) == ["consent"]


def test_a_code_that_all_have_names_nobody(open_one) -> None:
    """Even if one person only has come as yet, or the study has another code now."""
    one = open_one(recruitment=PROLIFIC)
    one.complete(one.begin(prolific_id="5f0a"))
    for ask in (erase, lambda opened, code: completions(opened, [code])):
        with pytest.raises(
            UserError, match="c1abcdef: the completion code that all participants of fixture get; use -"
        ):
            ask(one.opened, "c1abcdef")
    later = open_one(recruitment=PROLIFIC | {"completion_code": "C2ABCDEF"})
    with pytest.raises(UserError, match="no participant 'C1ABCDEF'"):
        erase(later.opened, "C1ABCDEF")
    assert states(one) == ["finished"]


def test_no_table_leads_from_a_completion_code_to_answers(open_one) -> None:
    one = open_one()
    code = one.complete(one.begin()).code
    assert code not in str([table.to_csv() for table in make_tables(one.opened, texts=True).values()])


@pytest.mark.parametrize("template", ["chorales", "inpainting", "melodies", "paired", "ranking", "rating"])
def test_ready_consent_texts_promise_what_happens(template: str) -> None:
    """Leaving by the button removes answers, closing the window keeps them, the code at the end finds them again."""
    text = files("studies").joinpath("templates", f"{template}.yaml").read_text(encoding="utf-8")
    consent = yaml.safe_load(text.replace("$systems", "  a: b"))["text"]["consent"]
    for language, words in ({"en": consent} if isinstance(consent, str) else consent).items():
        said = " ".join(words.split())
        assert words_of(language)["leave"] in said
        assert {"en": "is kept, unless I have it removed", "de": "bleibt gespeichert, wenn"}[language] in said
        assert {"en": "by naming the code", "de": "indem ich den Code nenne"}[language] in said


# ---- who has finished ----------------------------------------------------------------------------------------------


def test_completion_codes_are_told_from_invented_ones(open_one, database: str) -> None:
    one = open_one(url=database)
    code = one.complete(one.begin()).code
    one.begin()  # has none yet
    assert completions(one.opened, [code, code.lower(), "1F2E3D4C", ""]) == {
        code: "finished", code.lower(): "finished", "1F2E3D4C": "unknown", "": "unknown",
    }  # fmt: skip


def test_prolific_participants_are_told_by_their_ids(open_one, database: str) -> None:
    one = open_one(url=database, recruitment=PROLIFIC)
    one.complete(one.begin(prolific_id="5f0a"))
    one.begin(prolific_id="5f0b")
    found = completions_by_id(one.opened, "prolific", ["5f0a", "5f0b", "5f0c"])
    assert found == {"5f0a": "finished", "5f0b": "not finished", "5f0c": "unknown"}


# ---- the retention date --------------------------------------------------------------------------------------------


def test_after_the_retention_date_nothing_leads_to_a_person(open_one, refused) -> None:
    one = open_one()
    token = one.begin()
    code = one.complete(token).code
    session.set_state(one.opened, "closed")
    assert erase_expired(one.opened, RETENTION, RETENTION) == 0
    assert session.participant(one.opened, token).state == "finished"
    assert erase_expired(one.opened, RETENTION, RETENTION + dt.timedelta(days=1)) == 1
    assert code not in stored(one)
    assert one.count(ResponseRow) == 5
    assert completions(one.opened, [code]) == {code: "unknown"}
    with refused("unknown_token"):
        session.participant(one.opened, token)


def test_ids_and_texts_go_after_the_retention_date(open_one) -> None:
    one = open_one(recruitment=PROLIFIC)
    token = one.begin(prolific_id="5f0c")
    while (page := session.next_trial(one.opened, token)) is not None:
        one.listen(token, page)
        one.answer(token, page)
    session.comment(one.opened, token, "I am Ada")
    assert (one.count(ExternalIdRow), one.count(FreeTextRow)) == (1, 1)
    session.set_state(one.opened, "closed")
    erase_expired(one.opened, RETENTION, RETENTION + dt.timedelta(days=1))
    assert (one.count(ExternalIdRow), one.count(FreeTextRow)) == (0, 0)


def test_studies_in_one_database_know_nothing_of_each_other(open_one, refused) -> None:
    one, other = (open_one(name=name, recruitment={"kind": "invitation"}) for name in ("one", "other"))
    (invitation,) = session.invite(other.opened, 1)
    token = other.begin(invitation=invitation)
    code, name = other.complete(token).code, session.participant(other.opened, token).code
    with refused("unknown_token"):
        session.participant(one.opened, token)
    with refused("invitation"):
        session.enrol(one.opened, invitation=invitation)
    assert completions(one.opened, [code]) == {code: "unknown"}
    assert completions_by_id(one.opened, "invitation", [invitation]) == {invitation: "unknown"}
    for whom in (code, name):
        with pytest.raises(UserError, match="no participant"):
            erase(one.opened, whom)
    assert [len(table) for table in make_tables(one.opened).values()] == [0, 0, 0]
    assert (progress(one.opened).participants, progress(one.opened).places_taken) == ({}, 0)
    before = stored(other)
    simulate(one.opened, default_truth(one.opened.study), listeners=1)
    assert remove_simulated(one.opened) == 1
    session.set_state(one.opened, "closed")
    assert erase_expired(one.opened, RETENTION, RETENTION + dt.timedelta(days=1)) == 0
    assert stored(other) == before
    assert completions(other.opened, [code]) == {code: "finished"}
    assert completions_by_id(other.opened, "invitation", [invitation]) == {invitation: "finished"}


@pytest.mark.parametrize("state", ["open", "paused"])
def test_nobody_on_their_way_is_thrown_out(one, state) -> None:
    token = one.begin()
    set_state(one.opened, state)
    with pytest.raises(UserError, match="fixture is not closed: people on their way would be thrown out"):
        erase_expired(one.opened, RETENTION, RETENTION + dt.timedelta(days=1))
    assert session.participant(one.opened, token).state == "practice"


# ---- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """A function that gives exit code and output of a command about the study in ``tmp_path``."""

    def ask(name: str, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(command, [name, str(tmp_path), *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return ask


def write(folder: Path, one: Any, line: str = "") -> None:
    (folder / "study.yaml").write_text(f"{one.opened.study.source}{line}\n")


def test_verify_says_of_each_code_and_fails_for_one_that_is_not_of_a_finisher(open_one, tmp_path, asked) -> None:
    one = open_one(recruitment=PROLIFIC)
    write(tmp_path, one)
    one.complete(one.begin(prolific_id="5f0a"))
    assert asked("verify", "--prolific", "5f0a") == (0, "5f0a  finished\n")
    assert asked("verify", "--prolific", "5f0a", "5f0b") == (1, "5f0a  finished\n5f0b  unknown\n")
    assert asked("erase", "--prolific", "5f0a")[1].startswith("5f0a: erased; exports and analyses made before still")
    assert asked("verify", "--prolific", "5f0a") == (1, "5f0a  unknown\n")
    with pytest.raises(UserError, match="the completion code that all participants"):
        asked("verify", "C1ABCDEF")


def test_the_date_in_the_file_counts_even_if_it_was_added_at_the_end(open_one, tmp_path, asked) -> None:
    one = open_one()
    write(tmp_path, one)
    one.complete(one.begin())
    with pytest.raises(UserError, match=r"study\.yaml: it has no key 'retention', the day after which --expired"):
        asked("erase", "--expired")
    write(tmp_path, one, "retention: 2999-12-31")
    assert asked("erase", "--expired") == (0, "nothing is erased before the retention date has passed: 2999-12-31\n")
    write(tmp_path, one, "retention: 2020-01-01")
    with pytest.raises(UserError, match="is not closed"):
        asked("erase", "--expired")
    asked("close")
    said = "1 participant: external ids, free texts, codes and links erased (retention: 2020-01-01)\n"
    assert asked("erase", "--expired") == (0, said)


def test_people_and_simulated_listeners_are_exported_into_folders_of_their_own(open_one, tmp_path, asked) -> None:
    one = open_one()
    write(tmp_path, one)
    one.complete(one.begin())
    asked("export")
    before = (tmp_path / "export" / "participants.csv").read_bytes()
    asked("export", "--simulated")
    assert (tmp_path / "export" / "participants.csv").read_bytes() == before
    assert (tmp_path / "export-simulated" / "participants.csv").is_file()
