"""``evalkit study serve``: put a study on the web."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click

from evalkit.errors import UserError
from studies.cli import database_url, study_folder
from studies.design import Study, load_study
from studies.manifest import Stimulus, read_manifest
from studies.openid import lacks_secrets, read_provider
from studies.preparation import render_with_progress
from studies.stimuli import is_rendered
from studies.store import Store, open_store

PASSWORD = "EVALKIT_ORGANISER_HASH"
SHUTDOWN_SECONDS = 5  # for answers that are just being stored
KEEP_ALIVE_SECONDS = 75  # longer than proxies keep theirs (nginx: 60)
BACKLOG = 2048
ENTRANCES = {  # kind of recruitment -> what must follow the study's address
    "prolific": "?PROLIFIC_PID={{%PROLIFIC_PID%}}  (with your public address, the study link to give Prolific)",
    "invitation": "?invitation=CODE  (evalkit study invite makes codes)",
}


@click.command()
@study_folder
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 for all networks.")
@click.option("--port", default=8501, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
def serve(folder: Path, database: str | None, host: str, port: int) -> None:
    """Serve the study in DIR to participants.

    What has not been rendered yet is rendered first. Stop it with Ctrl+C or SIGTERM at any time: whoever is taking part
    goes on where they stopped when it is started again. EVALKIT_ORGANISER_HASH, as `evalkit study password` prints it,
    opens the organiser's page at /organiser; so do organiser.emails in study.yaml with a secrets.toml in DIR, which is
    described in the README. Behind a proxy on another machine, name it in FORWARDED_ALLOW_IPS, so that its
    visitors can be told apart. With recruitment by Prolific or by invitation, the address to give people is printed.

    \b
    Example:
      evalkit study serve my-study --port 8501
    """
    study = load_study(folder)
    password_hash = checked_hash(os.environ.get(PASSWORD))
    read_provider(study)  # its mistakes are told before anything is rendered
    url = database_url(folder, database)
    listening = bind(host, port)
    with contextlib.closing(listening), contextlib.closing(open_store(url)) as store:
        run(study, rendered(study), store, listening, password_hash)


@click.command()
@click.password_option(help="Asked for if not given.")
def password(password: str) -> None:
    """Print what EVALKIT_ORGANISER_HASH must be for a password of the organiser's page.

    \b
    Example:
      export EVALKIT_ORGANISER_HASH="$(evalkit study password)"
    """
    from studies.app.password import hashed

    if not password.strip():
        raise UserError("--password: an empty password would let anybody in; give one of several words")
    click.echo(hashed(password))


def checked_hash(value: str | None) -> str | None:
    """The organiser's password hash from the environment; UserError for what is none."""
    from studies.app.password import is_hash

    if value and not is_hash(value):
        raise UserError(f"{PASSWORD}: not what 'evalkit study password' prints; is the whole line there?")
    return value or None


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; UserError where the port is taken or the address is not ours."""
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        reason = error.strerror or str(error)
        raise UserError(f"--host {host} --port {port}: cannot listen there: {reason}; try another --port") from error
    return listening


def rendered(study: Study) -> tuple[Stimulus, ...]:
    """The study's stimuli, rendered first if that has not been done."""
    return read_manifest(study.folder) if is_rendered(study) else render_with_progress(study)


def run(
    study: Study, stimuli: tuple[Stimulus, ...], store: Store, listening: socket.socket, password_hash: str | None
) -> None:
    """Serve until SIGTERM or Ctrl+C."""
    from studies.opening import open_study

    opened = open_study(store, study, stimuli)
    import uvicorn

    from studies.app.server import SETTINGS, make_app

    provider = read_provider(study)
    app: Any = make_app(opened, password_hash, provider)
    settings = uvicorn.Config(
        app,
        access_log=False,  # addresses hold participants' tokens, and connections their IP addresses
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="websockets-sansio",
        ws_max_size=SETTINGS["server.maxMessageSize"] * 2**20,
        ws_ping_interval=SETTINGS["server.websocketPingInterval"],
        ws_ping_timeout=SETTINGS["server.websocketPingInterval"],
    )
    say(study, listening, organiser=bool(password_hash or provider))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # which uvicorn calls when it has come to its end
    uvicorn.Server(settings).run(sockets=[listening])


def say(study: Study, listening: socket.socket, organiser: bool) -> None:
    """Where the study is open, and where people and the organiser go in."""
    host, port = listening.getsockname()[:2]
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host
    click.echo(f"{study.name} is open at http://{shown}:{port}/ (Ctrl+C stops it; nothing saved is lost)", err=True)
    if query := ENTRANCES.get(study.recruitment.kind):
        click.echo(f"to take part: http://{shown}:{port}/{query}", err=True)
    if organiser:
        click.echo(f"organiser's page: http://{shown}:{port}/organiser", err=True)
    if note := lacks_secrets(study):
        click.echo(note, err=True)
