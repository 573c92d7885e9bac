"""Who is an organiser, what their sign-in needs, and how often a visitor may try: all that needs no browser."""

from __future__ import annotations

import asyncio
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.cli import main
from evalkit.errors import UserError
from studies import session
from studies.app.guard import Guard
from studies.app.limits import Attempts, Newcomers, visitor
from studies.app.serve import bind, say
from studies.app.sign_in import refusal
from studies.design import load_study
from studies.openid import read_provider
from studies.opening import open_study
from studies.refusal import Refused
from studies.store import open_store

SECRETS = {
    "redirect_uri": '"https://study.example.org/oauth2callback"',
    "cookie_secret": '"Zk1-uQ0vN6w8xY3rT5pL7jH9fD2bS4aG"',
    "client_id": '"the-study"',
    "client_secret": '"hunter2"',
    "server_metadata_url": '"https://accounts.example.org/.well-known/openid-configuration"',
}


def write_secrets(folder: Path, changes: dict[str, str | None] | None = None, mode: int = 0o600) -> Path:
    values = {key: value for key, value in (SECRETS | (changes or {})).items() if value is not None}
    path = folder / "secrets.toml"
    path.write_text("[auth]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()))
    path.chmod(mode)
    return path


@pytest.fixture(scope="module")
def folder(write_study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "study", "rating", organiser="{emails: [Ada@example.org]}")


# ---- what stands in secrets.toml and study.yaml ----------------------------------------------------------------------


def test_a_complete_file_is_what_streamlit_gets(folder: Path) -> None:
    write_secrets(folder, {"client_kwargs": '{prompt = "login"}'})
    provider = read_provider(load_study(folder))
    assert provider is not None
    assert provider.origin == "https://study.example.org"
    assert {f'"{value}"' for key, value in provider.model_dump().items() if key != "client_kwargs"} == {
        *SECRETS.values()
    }
    assert provider.client_kwargs == {"prompt": "login"}
    (folder / "secrets.toml").unlink()
    assert read_provider(load_study(folder)) is None


@pytest.mark.parametrize("command", ["check", "serve"])
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"client_id": None}, "the key 'auth.client_id' is missing"),
        ({"client_secret": '" "'}, "auth.client_secret: must be a text, in quotes"),
        ({"client_secret": "271828"}, "auth.client_secret: must be a text, in quotes"),
        ({"cookie_secret": '"correct horse battery"'}, "auth.cookie_secret: too weak"),
        ({"cookie_secret": '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"'}, "auth.cookie_secret: too weak"),
        ({"redirect_uri": '"https://study.example.org/"'}, "auth.redirect_uri: must be the study's own address"),
        ({"redirect_uri": '"https://study.example.org/x/oauth2callback"'}, "the study's own address followed by"),
        ({"redirect_uri": '"https://Study.example.org/oauth2callback"'}, "as browsers do, in small letters"),
        ({"redirect_uri": '"https://study.example.org:443/oauth2callback"'}, "and without :443"),
        ({"redirect_uri": '"http://study.example.org/oauth2callback"'}, "must be an address that begins with https"),
        ({"server_metadata_url": '"http://accounts.example.org/"'}, "auth.server_metadata_url: must be an address"),
        ({"client_idd": '"x"'}, "unknown key 'client_idd' in auth; did you mean"),
        ({"expose_tokens": '"access"'}, "unknown key 'expose_tokens' in auth"),
        ({"client_id": "the-study"}, "not valid TOML"),
    ],
)
def test_what_is_wrong_with_the_secrets_is_one_sentence_without_them(
    folder: Path, command: str, changes: dict[str, str | None], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    path = write_secrets(folder, changes)
    said = refused_by(command, folder, capsys)
    path.unlink()
    assert said.startswith(f"evalkit: {path}: ")
    assert sentence in said
    for secret in ("hunter2", "271828", "correct horse", "xxxx", "Zk1-"):
        assert secret not in said


def refused_by(command: str, folder: Path, capsys: pytest.CaptureFixture) -> str:
    """The only line that the command says."""
    with pytest.raises(SystemExit) as stopped:
        main(["study", command, str(folder)])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(("mode", "fine"), [(0o600, True), (0o440, True), (0o644, False), (0o620, False)])
def test_nobody_else_may_read_or_change_the_secrets(
    folder: Path, mode: int, fine: bool, capsys: pytest.CaptureFixture
) -> None:
    path = write_secrets(folder, mode=mode)
    if fine:
        assert read_provider(load_study(folder)) is not None
    else:
        assert f"chmod 600 {path}" in refused_by("serve", folder, capsys)
    path.unlink()


def test_secrets_for_nobody_are_refused_and_organisers_without_secrets_are_told(
    write_study, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    other = write_study(tmp_path / "study", "rating")
    write_secrets(other)
    assert "study.yaml: the key 'organiser.emails' is missing" in refused_by("serve", other, capsys)
    (other / "secrets.toml").unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["study", "check", str(folder)])
    assert stopped.value.code in (0, 1)  # of its own findings
    assert f"there is no {folder / 'secrets.toml'}" in capsys.readouterr().err


@pytest.mark.parametrize("emails", ["[]", "[ada]", "[a b@example.org]", "ada@example.org"])
def test_addresses_are_addresses(write_study, tmp_path: Path, emails: str) -> None:
    with pytest.raises(UserError, match=r"organiser\.emails"):
        load_study(write_study(tmp_path / "study", "rating", organiser=f"{{emails: {emails}}}"))


def test_organisers_may_change_after_the_first_participant(write_study, tmp_path: Path, folder: Path) -> None:
    assert load_study(folder).fingerprint() == load_study(write_study(tmp_path / "s", "rating")).fingerprint()


@pytest.mark.parametrize(
    ("claims", "why_not"),
    [
        ({"email": "Ada@Example.org", "email_verified": True}, None),
        ({"email": "ada@example.org", "email_verified": "true"}, None),  # as some providers write it
        ({"email": "ada@example.org"}, None),
        ({"email": "ada@example.org", "email_verified": False}, "has not confirmed"),
        ({"email": "ada@example.org", "email_verified": "false"}, "has not confirmed"),
        ({"email": "ada@example.org", "email_verified": None}, "has not confirmed"),
        ({"email": "ada@example.org.evil.example"}, "not among the organisers"),
        ({"email": ["ada@example.org"]}, "did not tell"),
        ({"email": "", "preferred_username": "ada@example.org"}, "did not tell"),
    ],
)
def test_who_is_an_organiser(claims: dict[str, object], why_not: str | None) -> None:
    found = refusal(claims, ["ada@example.org"])
    assert (found is None) if why_not is None else (why_not in (found or ""))


# ---- the server's routes ---------------------------------------------------------------------------------------------


def headers_of(origin: str | None, path: str, query: str, *cookies: str, location: str = "/") -> list[tuple[str, str]]:
    """Status and headers of a reply of Streamlit's that has passed the guard."""
    sent: list[tuple[str, str]] = []

    async def streamlit(scope, receive, send) -> None:
        headers = [(b"location", location.encode()), *((b"set-cookie", cookie.encode()) for cookie in cookies)]
        await send({"type": "http.response.start", "status": 302, "headers": headers})

    async def send(message) -> None:
        if message["type"] == "http.response.start":
            sent.append(("status", str(message["status"])))
            sent.extend((name.decode().lower(), value.decode()) for name, value in message["headers"])

    scope = {"type": "http", "path": path, "query_string": query.encode()}
    asyncio.run(Guard(streamlit, origin)(scope, None, send))
    return sent


def test_sign_in_and_out_end_at_the_organisers_page_with_secure_cookies() -> None:
    user, session_ = "_streamlit_user=abc; HttpOnly; Path=/", "_streamlit_session=x; path=/"
    headers = headers_of("https://study.example.org", "/oauth2callback", "code=1&state=2", user, session_)
    assert ("location", "/organiser") in headers
    assert [value for name, value in headers if name == "set-cookie"] == [user + "; Secure", session_ + "; Secure"]
    assert ("cache-control", "no-store") in headers
    failed = headers_of("http://localhost:8501", "/oauth2callback", "code=1&state=2", '_streamlit_user=""; Max-Age=0')
    assert ("location", "/organiser?sign-in=failed") in failed
    assert ("set-cookie", '_streamlit_user=""; Max-Age=0') in failed  # a browser would not keep it at http://
    assert ("location", "/organiser") in headers_of("https://s.org", "/oauth2callback", "")  # back from logging out
    elsewhere = headers_of("https://s.org", "/auth/login", "provider=x", location="https://accounts.example.org/")
    assert ("location", "https://accounts.example.org/") in elsewhere


def test_without_a_provider_there_is_no_sign_in() -> None:
    for path in ("/auth/login", "/auth/logout", "/oauth2callback", "/auth/other"):
        assert ("status", "404") in headers_of(None, path, "")
    assert ("status", "404") in headers_of("https://s.org", "/auth/other", "")


# ---- how often -------------------------------------------------------------------------------------------------------


def test_one_visitor_guesses_slowly_and_locks_out_no_other() -> None:
    attempts = Attempts(most=3, seconds=60)
    waits = [attempts.wait("a", now) for now in (0, 1, 2, 3, 59.5, 60, 60.5, 61)]
    assert waits == [0, 0, 0, 57, 0.5, 0, 0.5, 0]
    assert attempts.wait("b", 61) == 0
    assert attempts.wait("a", 61) == 1
    attempts.forgive("a")
    assert attempts.wait("a", 61) == 0


def test_many_visitors_slow_guessing_down_for_all_but_keep_nobody_out() -> None:
    attempts = Attempts(most=10)
    assert attempts.delay(0) == 0
    for i in range(30):
        assert attempts.wait(f"{i}", 0) == 0
    assert attempts.delay(1) == 2
    for i in range(1000):
        attempts.wait(f"of the flood {i}", 1)
    assert (attempts.delay(2), attempts.wait("the organiser", 2)) == (5, 0)
    assert attempts.delay(100) == 0


def test_a_class_gets_in_and_makes_room_by_answering() -> None:
    newcomers = Newcomers(most=30)
    for i in range(30):
        newcomers.admit("lab", f"token-{i}", 90, now=i)
    with pytest.raises(Refused, match="network") as refused:
        newcomers.admit("lab", "one more", 90, now=60)
    assert (refused.value.code, refused.value.facts) == ("too_many", {"minutes": 89})
    newcomers.admit("home", "somebody else", 90, now=60)
    newcomers.answered("token-3")
    newcomers.answered("token-3")  # the second answer makes no more room
    newcomers.answered("nobody's")
    newcomers.admit("lab", "one more", 90, now=61)
    with pytest.raises(Refused) as refused:
        newcomers.admit("lab", "and another", 90, now=61)
    newcomers.admit("lab", "and another", 90, now=61 + 60 * refused.value.facts["minutes"])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 300), st.booleans()), max_size=60))
def test_nobody_ever_holds_more_places_than_that(events: list[tuple[str, float, bool]]) -> None:
    newcomers, now, held = Newcomers(most=3), 0.0, {"a": [], "b": []}
    for i, (who, later, answers) in enumerate(events):
        now += later
        held = {name: [(token, end) for token, end in places if end > now] for name, places in held.items()}
        if answers and held[who]:
            newcomers.answered(held[who].pop()[0])
        full = len(held[who]) == 3
        try:
            newcomers.admit(who, f"{i}", lease_minutes=10, now=now)
        except Refused:
            assert full
        else:
            assert not full
            held[who].append((f"{i}", now + 600))


def test_a_place_that_is_held_for_weeks_stands_in_the_way_for_a_day() -> None:
    newcomers = Newcomers(most=1)
    newcomers.admit("class", "first", lease_minutes=60 * 24 * 30, now=0.0)
    with pytest.raises(Refused, check=lambda error: error.facts == {"minutes": 1}):
        newcomers.admit("class", "second", lease_minutes=1, now=86_399.0)
    newcomers.admit("class", "second", lease_minutes=1, now=86_400.0)


def test_visitors_are_known_by_their_network_and_by_no_address() -> None:
    assert visitor("203.0.113.7") == visitor("::ffff:203.0.113.7") != visitor("203.0.113.8")
    assert visitor("2001:db8:1:2::1") == visitor("2001:db8:1:2:ffff::9") != visitor("2001:db8:1:3::1")
    assert visitor(None) == visitor("127.0.0.1")
    assert visitor("fe80::1%eth0") == visitor("fe80::2%eth0")
    assert visitor("unknown") != visitor(None)
    assert visitor("203.0.113.7") not in ("203.0.113.7", sha256(b"203.0.113.7").hexdigest())  # which one could look up


def test_who_is_not_admitted_takes_no_place_and_who_has_one_is_not_asked(make_study, tmp_path: Path) -> None:
    study, stimuli = make_study("paired", recruitment={"kind": "prolific", "completion_code": "ABCD"})
    opened = open_study(open_store(str(tmp_path / "study.sqlite")), study, stimuli)
    asked: list[str] = []
    token = session.enrol(opened, prolific_id="one", admit=asked.append)
    assert asked == [token]

    def nobody(token: str) -> None:
        raise Refused("too_many", "", minutes=1)

    assert session.enrol(opened, prolific_id="one", admit=nobody) == token
    with pytest.raises(Refused):
        session.enrol(opened, prolific_id="two", admit=nobody)
    for i in range(11):  # all the other places
        session.enrol(opened, prolific_id=f"later {i}", admit=asked.append)
    with pytest.raises(Refused, match="places"):
        session.enrol(opened, prolific_id="too late", admit=asked.append)
    assert len(asked) == 12


@pytest.mark.parametrize(
    ("recruitment", "entrance"),
    [
        ({"kind": "prolific", "completion_code": "ABCD"}, "?PROLIFIC_PID={{%PROLIFIC_PID%}} "),
        ({"kind": "invitation"}, "?invitation=CODE "),
    ],
)
def test_serve_prints_the_address_to_give_people(make_study, capsys, recruitment: dict, entrance: str) -> None:
    with closing(bind("127.0.0.1", 0)) as listening:
        say(make_study("paired", recruitment=recruitment)[0], listening, organiser=False)
        port = listening.getsockname()[1]
    assert f"to take part: http://localhost:{port}/{entrance}" in capsys.readouterr().err
