"""Organisers who sign in by OpenID Connect, and visitors of two networks, in a real browser.

The provider is a small one of our own, on another port: discovery, authorization code with PKCE and nonce, signed ID
tokens, keys and logout, as OpenID Connect Core 1.0 and Discovery 1.0 have them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import func, select
from taking_part import PHONE, press, settled

from studies.app.password import hashed
from studies.opening import find_study
from studies.store import ParticipantRow, open_store

pytestmark = pytest.mark.browser
SUBJECT = "subject-7f3a91"  # of everybody who signs in: what may stand nowhere in the records
PEOPLE = {
    "Ada": {"email": "Ada@Example.org", "email_verified": True},
    "Eve": {"email": "eve@example.org", "email_verified": True},
    "Mallory": {"email": "ada@example.org", "email_verified": False},
    "Nobody": {},
    "Yesterday": {"email": "ada@example.org", "email_verified": True, "iat": -9 * 3600},
}
CLIENT_ID, CLIENT_SECRET = "the-study", "a secret of the client's"
SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{cookie_secret}"
client_id = "{client_id}"
client_secret = "{client_secret}"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""
SERVE = """
import os, sys
from pathlib import Path
from studies.app import limits, serve
from studies.design import load_study
from studies.manifest import read_manifest
from studies.store import open_store
limits.newcomers, limits.attempts = limits.Newcomers(most=2), limits.Attempts(most=3)
study = load_study(Path(sys.argv[1]))
listening = serve.bind("127.0.0.1", 0)
if len(sys.argv) > 2:
    path = study.folder / "secrets.toml"
    path.touch(0o600)
    path.write_text(sys.argv[2].replace("{port}", str(listening.getsockname()[1])))
store = open_store(str(study.folder / "study.sqlite"))
serve.run(study, read_manifest(study.folder), store, listening, os.environ.get(serve.PASSWORD))
"""


# ---- a provider ----------------------------------------------------------------------------------------------------


class Provider(BaseHTTPRequestHandler):
    """Asks for nothing but who one is."""

    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": "one"})
    codes: ClassVar[dict[str, dict[str, str]]] = {}
    logged_out: ClassVar[list[str]] = []

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        if path == "/.well-known/openid-configuration":
            self._json({
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
                "end_session_endpoint": f"{self.issuer}/logout", "response_types_supported": ["code"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            })  # fmt: skip
        elif path == "/keys":
            self._json({"keys": [self.key.as_dict(private=False)]})
        elif path == "/authorize" and "who" not in asked:
            assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
            assert asked["scope"].split()[:2] == ["openid", "email"]
            assert asked["code_challenge_method"] == "S256"
            links = [f'<a href="/authorize?{urlencode(asked | {"who": who})}">{who}</a>' for who in (*PEOPLE, "deny")]
            page = "<link rel=icon href=data:,><h1>Who are you?</h1>" + " ".join(links)
            self._reply(200, page.replace("&", "&amp;"), "text/html")
        elif path == "/authorize" and asked["who"] == "deny":
            self._redirect(asked["redirect_uri"], error="access_denied", state=asked["state"])
        elif path == "/authorize":
            code = secrets.token_urlsafe()
            self.codes[code] = asked
            self._redirect(asked["redirect_uri"], code=code, state=asked["state"])
        elif path == "/logout":
            self.logged_out.append(asked["id_token_hint"])
            self._redirect(asked["post_logout_redirect_uri"])
        else:
            self._reply(404, "", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        given = {k: v[0] for k, v in parse_qs(body).items()}
        asked = self.codes.pop(given["code"], None)
        challenge = urlsafe_b64encode(sha256(given.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        basic = b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        client = basic.replace("%20", " ").replace("+", " ") or f"{given.get('client_id')}:{given.get('client_secret')}"
        if asked is None or challenge != asked["code_challenge"] or asked["redirect_uri"] != given["redirect_uri"]:
            self._json({"error": "invalid_grant"}, 400)
        elif client.replace("%27", "'") != f"{CLIENT_ID}:{CLIENT_SECRET}":
            self._json({"error": "invalid_client"}, 401)
        else:
            person, now = dict(PEOPLE[asked["who"]]), int(time.time())
            issued = now + person.pop("iat", 0)
            claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": SUBJECT, "nonce": asked["nonce"], **person}
            id_token = jwt.encode({"alg": "RS256", "kid": "one"}, claims | {"iat": issued, "exp": now + 3600}, self.key)
            self._json({"access_token": "x", "token_type": "Bearer", "expires_in": 3600, "id_token": id_token})

    def _json(self, content: Any, status: int = 200) -> None:
        self._reply(status, json.dumps(content), "application/json")

    def _redirect(self, to: str, **query: str) -> None:
        self.send_response(302)
        self.send_header("Location", to + ("?" + urlencode(query) if query else ""))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _reply(self, status: int, text: str, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def serve(write_study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[str, Path]]]:
    """A function that serves a study: address and folder. Two newcomers of one network are enough for it."""
    running = []

    def start(*arguments: str, environment: dict[str, str] | None = None, **changes: str) -> tuple[str, Path]:
        folder = write_study(tmp_path_factory.mktemp("study") / "study", "rating", gate="0", **changes)
        command = [sys.executable, "-c", SERVE, str(folder), *arguments]
        variables = os.environ | {"NO_PROXY": "127.0.0.1"} | (environment or {})
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
        running.append(process)
        line = process.stderr.readline()
        return line.split(" is open at ")[1].split(" ")[0].replace("localhost", "127.0.0.1"), folder

    yield start
    for process in running:
        process.terminate()
    for process in running:
        said = process.communicate(timeout=30)[1]
        assert process.returncode == 0
        assert SUBJECT not in said  # nor in the log


@pytest.fixture(scope="module")
def site(provider: str, serve) -> tuple[str, Path]:
    """A study whose organiser signs in by the provider."""
    text = SECRETS.format(port="{port}", cookie_secret=secrets.token_urlsafe(32), client_id=CLIENT_ID,
                          client_secret=CLIENT_SECRET, provider=provider)  # fmt: skip
    return serve(text, organiser="{emails: [ada@EXAMPLE.org]}")


def sign_in(page: Any, who: str) -> None:
    press(page, "Sign in")
    page.get_by_role("link", name=who, exact=True).click()
    page.wait_for_url(re.compile("/organiser"))


def cookies(page: Any) -> dict[str, Any]:
    return {cookie["name"]: cookie for cookie in page.context.cookies()}


# ---- signing in ----------------------------------------------------------------------------------------------------


def test_an_organiser_signs_in_and_out_by_the_provider(site, visit) -> None:
    url, _ = site
    page = visit(url + "organiser")
    assert page.locator("input[type=password]").count() == 0
    sign_in(page, "Ada")
    page.get_by_role("heading", name="Control").wait_for()
    assert page.url == url + "organiser"
    assert cookies(page)["_streamlit_user"]["httpOnly"]
    page.reload()
    page.get_by_role("heading", name="Control").wait_for()  # still: it stands in the cookie
    press(page, "Sign out")
    page.get_by_role("button", name="Sign in", exact=True).wait_for()
    assert page.url == url + "organiser"
    assert "_streamlit_user" not in cookies(page)
    assert jwt.decode(Provider.logged_out[-1], Provider.key).claims["sub"] == SUBJECT  # there, too
    page.reload()
    page.get_by_role("button", name="Sign in", exact=True).wait_for()


@pytest.mark.parametrize(
    ("who", "sentence"),
    [
        ("Eve", "You have signed in as eve@example.org, who is not among the organisers of this study."),
        ("Mallory", "has not confirmed that ada@example.org is your address"),
        ("Nobody", "did not tell your e-mail address"),
        ("Yesterday", ""),  # a session of the provider's that began so long ago has ended here
        ("deny", "The sign-in did not succeed; please try again."),
    ],
)
def test_nobody_else_gets_in(site, visit, who: str, sentence: str) -> None:
    page = visit(site[0] + "organiser")
    sign_in(page, who)
    if sentence:
        page.get_by_text(sentence).wait_for()
    page.get_by_role("button", name=re.compile("Sign (in|out)")).wait_for()
    main = page.locator("[data-testid=stMain]").inner_text()
    assert "Control" not in main
    assert "Target" not in main
    assert ("_streamlit_user" in cookies(page)) == (who != "deny")
    assert ("did not succeed" in main) == (who == "deny")


def test_at_another_address_than_the_providers_the_page_says_where_to_go(site, visit) -> None:
    page = visit(site[0].replace("127.0.0.1", "localhost") + "organiser")
    page.get_by_role("link", name=site[0] + "organiser").wait_for()
    settled(page)
    page.get_by_role("button").first.wait_for(state="detached")  # while it runs, Streamlit has one of its own: Stop


def test_a_forged_or_foreign_cookie_opens_nothing(site, visit) -> None:
    page = visit(site[0] + "organiser")
    sign_in(page, "Ada")
    page.get_by_role("heading", name="Control").wait_for()
    right = cookies(page)["_streamlit_user"]
    for value in (right["value"][:-6] + "AAAAAA", "{}"):
        page.context.add_cookies([right | {"value": value}])
        page.reload()
        page.get_by_role("button", name="Sign in", exact=True).wait_for()


def test_a_callback_that_we_did_not_ask_for_signs_nobody_in(site, visit) -> None:
    page = visit(site[0] + "oauth2callback?code=x&state=made-up")
    page.get_by_text("The sign-in did not succeed; please try again.").wait_for()
    assert "_streamlit_user" not in cookies(page)


def test_a_participant_is_never_signed_in_and_an_organiser_leaves_no_trace_in_the_records(site, visit) -> None:
    url, folder = site
    page = visit(url)
    take_part(page)
    assert set(cookies(page)) <= {"_streamlit_xsrf"}
    page = visit(url + "organiser")
    sign_in(page, "Ada")
    page.get_by_role("heading", name="Control").wait_for()
    page.goto(url)
    take_part(page)
    stored = b"".join(path.read_bytes() for path in folder.glob("study.sqlite*"))
    assert SUBJECT.encode() not in stored
    assert b"Ada@Example.org" not in stored  # as the provider spells it; study.yaml has another spelling
    assert CLIENT_SECRET.encode() not in stored


def test_secrets_are_in_no_export(site, tmp_path: Path) -> None:
    from studies.export import export

    export(find_study(open_store(str(site[1] / "study.sqlite")), "fitting", site[1]), tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "study.yaml" for path in files)
    assert not [path for path in files if path.name == "secrets.toml" or CLIENT_SECRET.encode() in path.read_bytes()]


# ---- many of one network -------------------------------------------------------------------------------------------


def take_part(page: Any, *, network_is_full: bool = False) -> None:
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.get_by_test_id("stCheckbox").click()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.locator(".st-key-choices button").first.click()
    if network_is_full:
        page.get_by_test_id("stAlert").wait_for()
    else:
        page.get_by_role("heading", name="About you").wait_for()


@contextlib.contextmanager
def from_network(address: str, url: str) -> Iterator[str]:
    """Another address of the same site, whose visitors come to it from this address of 127.0.0.0/8."""
    listening = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with source, contextlib.suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):  # the end of it
            while True:
                visitor, _ = listening.accept()
                to = urlsplit(url)
                site = socket.create_connection((to.hostname, to.port), source_address=(address, 0))
                for ends in ((visitor, site), (site, visitor)):
                    threading.Thread(target=pass_on, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture(scope="module")
def crowded(serve) -> tuple[str, Path]:
    return serve(
        environment={"EVALKIT_ORGANISER_HASH": hashed("open sesame")}, trials="{per_participant: 1, practice: 0}"
    )


def people(folder: Path) -> int:
    with open_store(str(folder / "study.sqlite")).reading() as records:
        return records.scalar(select(func.count()).select_from(ParticipantRow)) or 0


def test_a_network_that_sends_many_is_asked_to_wait_until_the_first_have_answered(crowded, visit) -> None:
    url, folder = crowded
    first, second, third = (visit(url) for _ in range(3))  # no two share a cookie
    for page in (first, second):
        take_part(page)
    take_part(third, network_is_full=True)
    assert re.search(r"Please try again in a few minutes; in (89|90) min", third.inner_text("[data-testid=stAlert]"))
    phone = visit(url, viewport=PHONE, locale="de-DE")
    take_part(phone, network_is_full=True)
    assert "spätestens in" in phone.inner_text("[data-testid=stAlert]")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert people(folder) == 2
    take_part(visit(url, extra_http_headers={"X-Forwarded-For": "203.0.113.9"}))  # as a proxy on this machine says
    assert people(folder) == 3

    first.reload()  # who has a place goes on, and makes room with the first answer
    first.get_by_text("medium", exact=True).click()
    press(first, "Continue")
    first.get_by_text("Headphones", exact=True).click()
    first.get_by_text("I have set the volume.", exact=True).click()
    press(first, "Continue")
    first.locator(".player[aria-busy=false]").wait_for()
    first.locator(".st-key-answers [data-testid=stRadioOption]").first.click()
    press(first, "Save and continue")
    first.get_by_role("heading", name="Almost done").wait_for()
    press(third, "Take part")  # consent is still ticked
    third.get_by_role("heading", name="About you").wait_for()
    assert people(folder) == 4


def test_who_guesses_passwords_keeps_nobody_else_out(crowded, visit) -> None:
    url, _ = crowded
    with from_network("127.0.0.3", url) as other:
        guesser = visit(other + "organiser")
        for i in range(4):
            guesser.locator("input[type=password]").fill(f"guess {i}")
            press(guesser, "Sign in")
            guesser.get_by_text("This is not the password." if i < 3 else "Too many attempts.").wait_for()
            guesser.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        again = visit(other + "organiser", extra_http_headers={"X-Forwarded-For": "203.0.113.10"})  # no proxy of ours
        again.locator("input[type=password]").fill("open sesame")
        press(again, "Sign in")
        again.get_by_text("Too many attempts.").wait_for()
    page = visit(url + "organiser")
    page.locator("input[type=password]").fill("open sesame")
    press(page, "Sign in")
    page.get_by_role("heading", name="Control").wait_for()
    press(page, "Sign out")
    page.locator("input[type=password]").wait_for()
    for path in ("auth/login", "auth/logout", "oauth2callback"):  # of no use without a provider
        assert page.request.get(url + path).status == 404
