"""The web server of a study: Streamlit's pages, our own routes, and what is closed to the outside.

    GET  /              the participant's page, by Streamlit; the participant's token is in the query (?p=...)
    GET  /organiser     the organiser's page, where a password or a provider of identities is configured
    GET  /stim/{token}  one excerpt of one showing of one trial
    GET  /export/{token}  all records, for a few minutes after the organiser has asked for them
    GET  /sound/{name}  the volume sound, and the sounds of a participant's headphone check
    POST /event         what the player reports; answers what has been heard so far

``guard`` says what else there is. Nothing is logged that names a participant: there is no access log.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from streamlit import config

from evalkit.errors import UserError
from studies import session
from studies.app.guard import Guard
from studies.app.records import export_archive, is_export_token
from studies.app.sounds import check_sound, plain_wav, volume_sound
from studies.app.words import best_language, words_of
from studies.openid import Provider
from studies.opening import OpenStudy
from studies.refusal import Refused
from studies.store import StoreUnavailable

log = logging.getLogger(__name__)
SCRIPT = Path(__file__).with_name("main.py")
LARGEST_REPORT = 256 * 1024  # bytes of one POST
STATUS = {
    "unknown_token": 403,
    "unknown_clip": 404,
    "expired_clip": 410,
    "bad_event": 400,
    "stale_page": 200,
}  # otherwise 409; a page that is just being left may still report, and has done no wrong
BLUE, BLUE_IN_THE_DARK = (
    "#0b66c3",
    "#2b78cc",
)  # white on them: 5.7 : 1 and 4.5 : 1
SETTINGS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",  # a traceback would name systems
    "client.showErrorLinks": False,
    "client.toolbarMode": "viewer",
    "client.showSidebarNavigation": False,
    "global.developmentMode": False,
    "logger.hideWelcomeMessage": True,
    "runner.magicEnabled": False,
    "secrets.files": [],  # neither those of the home folder nor of the folder that we were started in
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.enableAgentApi": False,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.maxUploadSize": 5,  # MB
    "server.maxMessageSize": 20,
    "server.websocketPingInterval": 25,  # s; proxies cut sockets that are silent while somebody listens
    "server.disconnectedSessionTTL": 900,  # s; a locked phone, a change of network
    "theme.light.primaryColor": BLUE,
    "theme.dark.primaryColor": BLUE_IN_THE_DARK,
}
ICON = "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='7' fill='%230b66c3'/%3E%3Cg fill='white'%3E%3Crect x='5' y='19' width='9' height='4' rx='1'/%3E%3Crect x='12' y='13' width='8' height='4' rx='1'/%3E%3Crect x='19' y='7' width='8' height='4' rx='1'/%3E%3C/g%3E%3C/svg%3E"  # noqa: E501


@dataclass(frozen=True, slots=True)
class Serving:
    """What this process serves, and how its organisers prove who they are: by neither, there is no page for them."""

    opened: OpenStudy
    password_hash: str | None = None
    provider: Provider | None = None

    @property
    def has_organiser(self) -> bool:
        return self.password_hash is not None or self.provider is not None


_serving: list[Serving] = []  # the script runs in this process, but Streamlit has no way to hand it anything


def serving() -> Serving:
    """What ``make_app`` was given."""
    return _serving[-1]


def make_app(opened: OpenStudy, password_hash: str | None = None, provider: Provider | None = None) -> st.App:
    """The ASGI application of one study. Streamlit can serve one study per process."""
    _serving[:] = [Serving(opened, password_hash or None, provider)]
    volume_sound()  # made once, before anybody waits for it
    for name, value in SETTINGS.items():
        config.set_option(name, value)
    routes = [
        Route("/", page, methods=["GET"]),
        Route("/stim/{token}", stimulus, methods=["GET"]),
        Route("/sound/{name}", sound, methods=["GET"]),
        Route("/event", event, methods=["POST"]),
    ]
    if serving().has_organiser:
        routes += [Route("/organiser", page, methods=["GET"]), Route("/export/{token}", records, methods=["GET"])]
    else:
        routes += [Route(path, nothing) for path in ("/organiser", "/export/{token}")]
    secrets: dict[str, Any] | None = None
    if provider is not None:  # handed over as checked; a file that is changed while we run has no effect
        config.set_option("server.cookieSecret", provider.cookie_secret)
        secrets = {"auth": provider.model_dump()}
    guard = Middleware(Guard, origin=provider.origin if provider else None)
    return st.App(SCRIPT, secrets=secrets, routes=routes, middleware=[guard], on_script_error=_broken)


def _broken(error: Exception) -> bool:
    """Into the log, and an apology that names nothing; a database that is away is nobody's mistake.

    What the organiser can mend, such as a file that is gone, is one sentence; our own mistake keeps its traceback.
    """
    words = words_of(best_language(st.context.locale or "", serving().opened.study.languages))
    if isinstance(error, StoreUnavailable):
        log.error("%s", error)
        st.warning(words["unavailable"])
        return True
    log.error("the page failed: %s", error, exc_info=None if isinstance(error, UserError) else error)
    st.error(words["broken"])
    return True


def page(request: Request) -> Response:
    """Streamlit's page under our title, without its pointers to an interface that is closed here."""
    return HTMLResponse(_index(), headers={"Cache-Control": "no-cache"})


@cache
def _index() -> str:
    study = serving().opened.study
    text = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    title = study.localised(study.title, study.languages[0]).replace("&", "&amp;").replace("<", "&lt;")
    for pattern, new in (
        (r"<!--.*?-->\s*", ""),
        (r'<html lang="[^"]*">', f'<html lang="{study.languages[0]}">'),
        (r"<title>.*?</title>", f"<title>{title}</title>"),
        (r'<link rel="service-desc"[^>]*>\s*', ""),
        (r'<link rel="shortcut icon"[^>]*>', f'<link rel="icon" href="data:image/svg+xml,{ICON}" />'),
        (r"<script>\s*window.prerenderReady.*?</script>\s*", ""),  # the content policy admits no inline scripts
        (r"<noscript>.*?</noscript>", "<noscript><p>This study needs JavaScript.</p></noscript>"),
        (r", shrink-to-fit=no", ""),
    ):
        text = re.sub(pattern, lambda _, new=new: new, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def stimulus(request: Request) -> Response:
    """One excerpt, ``?as=wav`` for browsers that cannot decode it. Rendered files of an item are equally long."""
    opened = serving().opened
    try:
        found = session.resolve_stimulus(opened, request.path_params["token"])
    except (Refused, StoreUnavailable) as error:
        return _refusal(error)
    path = opened.study.folder / found.audio
    try:
        if request.query_params.get("as") == "wav":
            return _sound(plain_wav(path), "audio/wav")
        return _sound(path.read_bytes(), "audio/flac")
    except (OSError, RuntimeError) as error:  # the latter is soundfile's; the page offers to try again
        log.error("an excerpt cannot be sent: %s", " ".join(str(error).split()))
        return JSONResponse(
            {"code": "no_audio", "message": "This excerpt is not there at the moment."}, status_code=404
        )


def sound(request: Request) -> Response:
    """The volume sound, or sound 0, 1, ... of the headphone check of the participant ?p=..."""
    name, opened = request.path_params["name"], serving().opened
    if name == "volume":
        return _sound(volume_sound(), "audio/wav")
    kind = opened.study.headphone_check
    if kind == "none" or not name.isdecimal() or len(name) > 2:
        return Response(status_code=404)
    return _sound(check_sound(kind, opened.secret, request.query_params.get("p", ""), int(name)), "audio/wav")


async def event(request: Request) -> Response:
    """Store what the player reports: {"token", "page", "events"} -> {"heard": [shares], "open": whether enough}."""
    try:
        body = json.loads(await _limited(request))
        token, page_id, events = (body[key] for key in ("token", "page", "events"))
        assert isinstance(token, str)
        assert isinstance(page_id, str)
    except ClientDisconnect:
        return Response(status_code=400)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return Response(status_code=400)
    try:
        return await run_in_threadpool(_reported, token, page_id, events)
    except (Refused, StoreUnavailable) as error:
        return _refusal(error)


def _reported(token: str, page_id: str, events: Any) -> Response:
    opened = serving().opened
    heard = session.record_events(opened, token, page_id, events)
    is_open = min(heard) >= opened.study.gate
    return JSONResponse({"heard": heard, "open": is_open}, headers={"Cache-Control": "no-store"})


async def _limited(request: Request) -> bytes:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_REPORT:
            raise ValueError("too long")
    return content


def records(request: Request) -> Response:
    """The export of the study as a ZIP archive, for who comes from the organiser's page."""
    opened = serving().opened
    if not is_export_token(opened, request.path_params["token"]):
        return Response(status_code=404)
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{opened.study.name}.zip"'}
    try:
        return Response(export_archive(opened), media_type="application/zip", headers=headers)
    except StoreUnavailable as error:
        return _refusal(error)


def nothing(request: Request) -> Response:
    """What Streamlit would answer with its page."""
    return Response(status_code=404)


def _refusal(error: Refused | StoreUnavailable) -> Response:
    if isinstance(error, StoreUnavailable):  # its own sentence names the database: it is for whoever keeps that
        log.error("%s", error)
        message = "The database is not available at the moment; please try again."
        return JSONResponse({"code": "unavailable", "message": message}, status_code=503)
    return JSONResponse({"code": error.code, "message": str(error)}, status_code=STATUS.get(error.code, 409))


def _sound(content: bytes, media_type: str) -> Response:
    headers = {"Cache-Control": "no-store", "Content-Encoding": "identity"}  # compressed, lengths would differ
    return Response(content, media_type=media_type, headers=headers)
