"""The organisers' sign-in by OpenID Connect: who may, and through which provider of identities.

Who may stands in ``study.yaml``. What Streamlit's login has to know stands in ``secrets.toml`` beside it:

    # study.yaml
    organiser: {emails: [ada@example.org]}

    # secrets.toml, which nobody else may read (chmod 600) and which is no part of any export
    [auth]
    redirect_uri = "https://study.example.org/oauth2callback"  # the study's own address, as the provider knows it
    cookie_secret = "..."       # python3 -c "import secrets; print(secrets.token_urlsafe(32))"; one for all replicas
    client_id = "..."           # as the provider has registered the study
    client_secret = "..."
    server_metadata_url = "https://accounts.example.org/.well-known/openid-configuration"
    client_kwargs = {prompt = "login"}       # optional; the scope is "openid email profile"

These are the keys of Streamlit's own login for one provider. An address counts unless the provider says that it is
unconfirmed, so choose a provider that vouches for its users' addresses.
"""

from __future__ import annotations

import stat
import tomllib
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator

from evalkit.configuration import STRICT, checked, read_text
from evalkit.errors import UserError
from studies.design import FILE, Study

SECRETS = "secrets.toml"
CALLBACK = "/oauth2callback"
SHORTEST, FEWEST = 32, 8  # characters of a cookie secret, and different ones among them
HERE = ("localhost", "127.0.0.1", "::1")


def _text(value: Any) -> str:
    """Says no more than this of what is wrong, because it is a secret."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text, in quotes")
    return value


def _strong(value: str) -> str:
    if len(value) < SHORTEST or len(set(value)) < FEWEST:
        command = 'python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise ValueError(f"too weak: it needs at least {SHORTEST} random characters; {command} makes some")
    return value


def _secure(value: str) -> str:
    address = urlsplit(value)
    if not (
        address.hostname and (address.scheme == "https" or (address.scheme == "http" and address.hostname in HERE))
    ):
        raise ValueError("must be an address that begins with https:// (or http://localhost, to try it)")
    return value


def _callback(value: str) -> str:
    address = urlsplit(_secure(value))
    if (address.path, address.query, address.fragment) != (CALLBACK, "", ""):
        raise ValueError(f"must be the study's own address followed by {CALLBACK}")
    usual = {"https": ":443", "http": ":80"}[address.scheme]
    if address.netloc != address.netloc.lower() or address.netloc.endswith(usual) or "@" in address.netloc:
        raise ValueError(f"must be written as browsers do, in small letters and without {usual}")  # they are compared
    return value


Secret = Annotated[str, BeforeValidator(_text)]


class Provider(BaseModel):
    """What Streamlit's login is told: the table ``[auth]``."""

    model_config = STRICT

    redirect_uri: Annotated[Secret, AfterValidator(_callback)]
    cookie_secret: Annotated[Secret, AfterValidator(_strong)]
    client_id: Secret
    client_secret: Secret
    server_metadata_url: Annotated[Secret, AfterValidator(_secure)]
    client_kwargs: dict[str, Secret] = {}

    @property
    def origin(self) -> str:
        """Scheme, host and port of the study's address."""
        return self.redirect_uri.removesuffix(CALLBACK)


class _Secrets(BaseModel):
    model_config = STRICT

    auth: Provider


def read_provider(study: Study) -> Provider | None:
    """The provider of ``secrets.toml`` in the study's folder; None where there is no such file.

    Raises ``UserError`` for a file that others may read, that lacks something or holds something weak, and where
    ``study.yaml`` names nobody who may sign in.
    """
    path = study.folder / SECRETS
    if not path.exists():
        return None
    text = read_text(path)
    if path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise UserError(f"{path}: other users of this machine can read or change it: chmod 600 {path}")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None
    provider = checked(_Secrets, values, str(path)).auth
    if study.organiser is None:
        raise UserError(f"{study.folder / FILE}: the key 'organiser.emails' is missing: who may sign in by {path}?")
    return provider


def lacks_secrets(study: Study) -> str | None:
    """A note for who has named organisers and not yet said how they sign in."""
    path = study.folder / SECRETS
    if study.organiser is None or path.exists():
        return None
    return f"nobody of organiser.emails can sign in yet: there is no {path}"
