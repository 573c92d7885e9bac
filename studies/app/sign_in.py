"""How an organiser proves who they are: by password, or by OpenID Connect through Streamlit's own login.

Who has signed in by a provider stands in a signed cookie of Streamlit's, which comes with every page of this address;
nothing but this module looks at it, so that it never meets a participant's records.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from studies.app.guard import FAILED
from studies.app.limits import attempts, visitor
from studies.app.password import is_right
from studies.app.server import serving
from studies.openid import Provider

SIGNED_IN_SECONDS = 8 * 3600  # after which a password is asked for again, and a provider


def signed_in() -> bool:
    """Whether an organiser sits before this page; if not, it shows what they have to do."""
    site = serving()
    if time.monotonic() - st.session_state.get("organiser_since", float("-inf")) <= SIGNED_IN_SECONDS:
        st.button("Sign out", type="tertiary", on_click=_forget_password)
        return True
    claims = _claims() if site.provider else {}
    organiser = site.opened.study.organiser
    if claims and organiser is not None:
        why_not = refusal(claims, organiser.emails)
        if why_not:
            st.error(why_not)
        st.button("Sign out", type="secondary" if why_not else "tertiary", on_click=st.logout)
        return not why_not
    if site.provider is not None:
        _ask_provider(site.provider)
    if site.password_hash is not None:
        _ask_password(site.password_hash)
    return False


def refusal(claims: Mapping[str, Any], emails: Sequence[str]) -> str | None:
    """Why who has these claims of an ID token is none of the organisers; None if they are."""
    email = claims.get("email")
    if not isinstance(email, str) or not email:
        return "Your provider did not tell your e-mail address, so it is not known whether you are an organiser here."
    if claims.get("email_verified", True) not in (True, "true"):
        return f"Your provider has not confirmed that {email} is your address, so you cannot sign in with it."
    if email.lower() not in emails:
        return f"You have signed in as {email}, who is not among the organisers of this study."
    return None


def _claims() -> dict[str, Any]:
    """Who has signed in by the provider, not too long ago; empty if nobody has."""
    claims = dict(st.user.to_dict())
    issued = claims.get("iat")
    fresh = isinstance(issued, int | float) and time.time() - issued <= SIGNED_IN_SECONDS
    return claims if claims.get("is_logged_in") is True and fresh else {}


def _ask_provider(provider: Provider) -> None:
    if st.query_params.get(FAILED):
        st.error("The sign-in did not succeed; please try again.")
    address = urlsplit(st.context.url or "")
    if f"{address.scheme}://{address.netloc}" == provider.origin:
        st.button("Sign in", key="sign-in-provider", type="primary", on_click=st.login)
    else:  # where the cookies that belong to it would not be seen again
        st.warning(f"Signing in works at {provider.origin}/organiser only, because redirect_uri names that address.")


def _ask_password(password_hash: str) -> None:
    def check() -> None:
        given, who = st.session_state.pop("organiser_password", ""), visitor(st.context.ip_address)
        if wait := attempts.wait(who):
            st.session_state.organiser_notice = f"Too many attempts. Please wait {math.ceil(wait)} seconds."
            return
        time.sleep(attempts.delay())
        if is_right(given, password_hash):
            attempts.forgive(who)
            st.session_state.organiser_since = time.monotonic()
        else:
            st.session_state.organiser_notice = "This is not the password."

    if notice := st.session_state.pop("organiser_notice", None):
        st.error(notice)
    with st.form("sign-in"):
        st.text_input("Password of the organiser", type="password", key="organiser_password", max_chars=200)
        st.form_submit_button("Sign in", type="primary", on_click=check)


def _forget_password() -> None:
    st.session_state.pop("organiser_since", None)
