"""What is closed to the outside, and the headers of what is open.

Beside the study's own routes that is Streamlit's page, its files, health and websocket, and where organisers sign in by
OpenID Connect, Streamlit's three routes for that. Its metrics, agent and upload routes, its media files and its other
components answer 404. A websocket is for pages of this very address: of another one Streamlit would ask a server in the
internet whether that is ours, while everybody waits.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

log = logging.getLogger(__name__)
OPEN = re.compile(
    r"/(organiser|event|favicon\.png|manifest\.json)?|/(stim|sound|export)/[^/]+|/static/.+"
    r"|(/organiser)?/_stcore/(health|host-config)"  # Streamlit looks for itself below a page, too
)
SIGN_IN = ("/auth/login", "/auth/logout", "/oauth2callback")
FAILED = "sign-in"  # in the query of the organiser's page: it did not succeed
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; manifest-src 'self'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",  # the address holds the participant's token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


class Guard:
    """Closes what is not ours to show, and sets the headers of what is.

    ``origin``: the study's address where organisers sign in by OpenID Connect, else None.
    """

    def __init__(self, app: ASGIApp, origin: str | None = None) -> None:
        self.app, self.origin = app, origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and _is_foreign(headers := Headers(scope=scope)):
            asked = headers.get("host"), headers.get("origin")
            log.warning("refused a websocket to %r of a page at %r; does the proxy keep the Host header?", *asked)
            await WebSocketClose()(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        signs_in = self.origin is not None and scope["path"] in SIGN_IN

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if signs_in:
                    self._back_to_the_organiser(scope, headers)
            await send(message)

        if signs_in or OPEN.fullmatch(scope["path"]):
            await self.app(scope, receive, guarded)
        else:
            await Response(status_code=404)(scope, receive, guarded)

    def _back_to_the_organiser(self, scope: Scope, headers: MutableHeaders) -> None:
        """Streamlit sends everybody who signs in or out to the first page, which is the participants'.

        It leaves out ``Secure``, too, for the sake of http://localhost.
        """
        cookies = headers.getlist("set-cookie")
        if headers.get("location") == "/":
            asked = parse_qs(scope["query_string"].decode("latin-1"))
            came_in = any(re.match(r'_streamlit_user=[^";]', cookie) for cookie in cookies)
            failed = scope["path"] == SIGN_IN[-1] and ("state" in asked or "error" in asked) and not came_in
            headers["location"] = f"/organiser?{FAILED}=failed" if failed else "/organiser"
        headers["cache-control"] = "no-store"
        if str(self.origin).startswith("https:"):
            del headers["set-cookie"]
            for cookie in cookies:
                headers.append("set-cookie", f"{cookie}; Secure")


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser comes from a page of another address; on this machine, Streamlit judges by itself."""
    origin = headers.get("origin")
    if origin is None:  # no browser
        return False
    try:
        found = urlsplit(origin)
        return found.netloc != headers.get("host") and found.hostname not in ("localhost", "127.0.0.1")
    except ValueError:
        return True
