"""A study on PostgreSQL behind a load balancer: replicas die, the database dies, and a participant goes on.

Two replicas of ``evalkit study serve``, each with a copy of the study's folder as on two machines; a balancer that
keeps a visitor at one replica by a cookie (or sends every request to the next one); and a real browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import sqlalchemy as sa
import yaml
from taking_part import choose, finish, heading, press, run_again, settled

from studies.store import ParticipantRow, ResponseRow, TrialRow, open_store

pytestmark = pytest.mark.browser
SECONDS = 3.0
STUDY: dict[str, Any] = {
    "name": "replicated", "title": "Which is better?", "text": {"consent": "I agree."}, "design": "paired", "gate": 0.5,
    "questions": [{"name": "better", "kind": "likert", "text": "Which one"}], "systems": {"a": "a", "b": "b"},
    "trials": {"per_participant": 4, "practice": 0}, "target": {"participants": 4},
}  # fmt: skip
GRADES = ("Clearly A", "Rather A", "Both alike", "Rather B", "Clearly B")
UNAVAILABLE = "Our database cannot be reached at the moment. Nothing is lost that was shown as saved. Please try again."
EXPECTED = r"WebSocket|Failed to load resource: (net::ERR|the server responded with a status of 503)"
LOST = "The connection is lost. What you have heard will be sent as soon as it is back."


# ---- replicas and their balancer -----------------------------------------------------------------------------------


class Replica:
    """One process of the app, which can be killed and started again at the same port."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database, self.port, self.log = folder, database, 0, folder.parent / f"{folder.name}.log"

    def start(self) -> None:
        command = [sys.executable, "-c", "from evalkit.cli import main; main()", "study", "serve", str(self.folder)]
        with self.log.open("ab") as log:
            end = self.log.stat().st_size
            self.process = subprocess.Popen(
                [*command, "--database", self.database, "--port", str(self.port)], stderr=log, stdout=log
            )
        while (said := re.search(rb"localhost:(\d+)/", self.log.read_bytes()[end:])) is None:
            assert self.process.poll() is None, self.log.read_text()
            threading.Event().wait(0.1)
        self.port = int(said[1])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


class Balancer:
    """Passes each request on to a replica that answers: the one of the visitor's cookie, or always the next.

    ``taken`` says which replica got which request.
    """

    def __init__(self, replicas: list[Replica], *, sticky: bool) -> None:
        self.replicas, self.sticky, self.taken = replicas, sticky, list[tuple[int, str]]()
        self.turn = itertools.count()
        self.passing: set[Any] = set()
        self.loop, ready = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,))
        self.thread.start()
        assert ready.wait(30)

    def _run(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self.done = asyncio.Event()
            server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            ready.set()
            await self.done.wait()
            server.close()

        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(serve())
        waiting = asyncio.all_tasks(self.loop)
        for task in waiting:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
        self.loop.close()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passing.add(asyncio.current_task())  # asyncio itself would let go of them
        over = OSError, asyncio.IncompleteReadError, asyncio.CancelledError
        with contextlib.suppress(*over), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            number, (back, forth) = await self._connect(re.search(rb"replica=(\d)", head))
            with contextlib.closing(forth):
                self.taken.append((number, head.split(b" ")[1].decode()))
                forth.write(head if b"upgrade: websocket" in head.lower() else _closing(head))
                sending = asyncio.ensure_future(_pipe(reader, forth))
                answer = await back.readuntil(b"\r\n\r\n")
                writer.write(answer[:-2] + b"Set-Cookie: replica=%d\r\n\r\n" % number)
                await _pipe(back, writer)  # until the replica ends it, or its end
                sending.cancel()

    async def _connect(self, cookie: re.Match[bytes] | None) -> tuple[int, Any]:
        first = int(cookie[1]) if cookie and self.sticky else next(self.turn) if not self.sticky else 0
        for number in (first % 2, (first + 1) % 2):
            with contextlib.suppress(OSError):
                return number, await asyncio.open_connection("127.0.0.1", self.replicas[number].port)
        raise ConnectionRefusedError


def _closing(head: bytes) -> bytes:
    """A request after whose answer the connection ends, so that the next one may go elsewhere."""
    return re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)[:-2] + b"Connection: close\r\n\r\n"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
        writer.write_eof()


@pytest.fixture
def balanced(tmp_path: Path, database: str) -> Iterator[Callable[..., Balancer]]:
    """A function that serves the study with two replicas, and gives their balancer."""
    folder = tmp_path / "study"
    make_study_folder(folder)
    run_command("render", folder)
    replicas = [Replica(shutil.copytree(folder, tmp_path / f"replica-{i}"), database) for i in range(2)]
    balancers = []

    def balance(*, sticky: bool) -> Balancer:
        for replica in replicas:
            replica.start()
        balancers.append(Balancer(replicas, sticky=sticky))
        return balancers[0]

    yield balance
    for balancer in balancers:
        balancer.close()
    for replica in replicas:
        replica.process.terminate()
    codes = [replica.process.wait(timeout=60) for replica in replicas]
    assert set(codes) <= {0, -signal.SIGKILL}
    for replica in replicas:
        expected = " is open at ", ": the database is not available at the moment"
        lines = replica.log.read_text().splitlines()
        said = [line for line in lines if not any(words in line for words in expected)]
        assert said == []  # no traceback, and nothing of a participant


def make_study_folder(folder: Path) -> None:
    """A study of recordings, which need no synthesizer."""
    rng = np.random.default_rng(0)
    for system, item in itertools.product("ab", range(5)):
        (folder / system).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / system / f"{item}.wav", rng.normal(0, 0.05, round(44_100 * SECONDS)), 44_100)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))


def run_command(*arguments: str | Path) -> None:
    code = "from evalkit.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, "study", *map(str, arguments)], check=True, capture_output=True)


# ---- what a participant does ---------------------------------------------------------------------------------------


def begin(page: Any) -> None:
    choose(page, "I have read this and I agree to take part.")
    press(page, "Take part")
    heading(page, "Your sound")
    choose(page, "Headphones")
    choose(page, "I have set the volume.")
    press(page, "Continue")


def listen(page: Any, clip: int) -> None:
    """Until enough of this clip has been heard, as the server says."""
    play(page, clip)
    enough(page, clip)


def loaded(page: Any) -> None:
    page.locator(".player[aria-busy=false]").wait_for()


@contextlib.contextmanager
def made_anew(page: Any) -> Iterator[None]:
    """Wait for a player that was not there before: what stands on the page meanwhile belongs to the one before."""
    with page.expect_request("**/stim/*"):
        yield
    loaded(page)


def play(page: Any, clip: int) -> None:
    loaded(page)
    if page.locator("button.loop").get_attribute("aria-pressed") == "false":
        page.locator("button.loop").click()
    page.locator("button.pick").nth(clip).click()
    if page.locator(".play .label").inner_text() == "Play":
        page.locator("button.play").click()


def enough(page: Any, clip: int) -> None:
    page.locator(f".lane[data-lane='{clip}'] .heard.enough").wait_for()


def pick(page: Any, position: int) -> None:
    """The first grade in the first trial, the second in the second, and so on."""
    grade = GRADES[position - 1]
    page.get_by_text("Please listen first").wait_for(state="detached")
    with run_again(page):
        choose(page, grade)
    chosen(page, grade)


def chosen(page: Any, grade: str) -> None:
    page.locator(".st-key-answers [data-selected=true]").get_by_text(grade).wait_for()


def rate(page: Any, position: int) -> None:
    """Listen to a trial and answer it; from here on the answer is acknowledged."""
    heading(page, f"{position} of 4")
    listen(page, 0)
    listen(page, 1)
    pick(page, position)
    save(page, position)


def save(page: Any, position: int) -> None:
    with made_anew(page) if position < 4 else contextlib.nullcontext():
        press(page, "Save and continue")
    heading(page, f"{position + 1} of 4" if position < 4 else "Almost done")


def stored(database: str) -> list[tuple[int, Any, str]]:
    """(trial, answer, state of the participant) of every answer that is there."""
    store = open_store(database)
    asked = (
        sa.select(TrialRow.number, ResponseRow.value, ParticipantRow.state)
        .select_from(ResponseRow)
        .outerjoin(TrialRow, TrialRow.id == ResponseRow.trial_id)
        .outerjoin(ParticipantRow, ParticipantRow.id == TrialRow.participant_id)
        .order_by(TrialRow.number)
    )
    with contextlib.closing(store), store.reading() as session:
        return [(number, value, state) for number, value, state in session.execute(asked)]


# ---- the tests -----------------------------------------------------------------------------------------------------

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
ALL = [(trial, trial + 1, "finished") for trial in range(4)]  # each answer once, as it was given


@on_postgresql
def test_a_participant_goes_on_when_replicas_and_the_database_die(
    balanced, visit, kill_postgresql, database: str
) -> None:
    balancer = balanced(sticky=True)
    first, second = balancer.replicas
    page = visit(balancer.url, tolerate=EXPECTED)
    begin(page)
    rate(page, 1)
    listen(page, 0)
    assert {number for number, _ in balancer.taken} == {0}
    with made_anew(page):  # without anybody's doing
        first.kill()  # in the middle of the second trial
    heading(page, "2 of 4")
    enough(page, 0)  # what was heard there counts here
    rate(page, 2)
    assert balancer.taken[-1][0] == 1

    start = kill_postgresql()
    play(page, 0)
    page.get_by_text(LOST).wait_for()
    start()
    page.get_by_text(LOST).wait_for(state="hidden")  # by itself
    listen(page, 1)
    pick(page, 3)
    start = kill_postgresql()
    press(page, "Save and continue")
    says_so(page)
    start()
    press(page, "Try again")
    chosen(page, GRADES[2])  # what was not yet saved is not lost
    start = kill_postgresql()
    press(page, "Save and continue")
    says_so(page)
    page.reload()
    says_so(page)
    start()
    press(page, "Try again")
    heading(page, "3 of 4")
    enough(page, 0)
    enough(page, 1)
    first.start()
    with made_anew(page):
        second.kill()  # the first knew the visit once, but it is another process now
    pick(page, 3)
    save(page, 3)
    rate(page, 4)
    finish(page)
    assert stored(database) == ALL


@on_postgresql
def test_a_balancer_that_is_not_sticky_is_good_enough(balanced, visit, database: str) -> None:
    balancer = balanced(sticky=False)
    page = visit(balancer.url, tolerate=EXPECTED)
    links: list[str] = []
    page.on("request", lambda request: "/stim/" in request.url and links.append(request.url))
    begin(page)
    rate(page, 1)
    heading(page, "2 of 4")
    loaded(page)
    for link in links[-2:]:  # of the page that is open; whoever made them
        sounds = [page.request.get(replica.url + "stim/" + link.rpartition("/")[2]) for replica in balancer.replicas]
        assert [sound.status for sound in sounds] == [200, 200]
        assert sounds[0].body() == sounds[1].body()
    listen(page, 0)
    holder = next(number for number, path in reversed(balancer.taken) if path.startswith("/_stcore/stream"))
    with made_anew(page):
        balancer.replicas[holder].kill()
    for position in (2, 3, 4):
        rate(page, position)
    finish(page)
    assert stored(database) == ALL
    for path in ("/stim/", "/event"):
        assert {number for number, taken in balancer.taken if taken.startswith(path)} == {0, 1}


def says_so(page: Any) -> None:
    """One sentence for people, and nothing else."""
    page.get_by_text(UNAVAILABLE).wait_for()
    settled(page)
    assert page.locator("[data-testid=stMain]").inner_text().split("\n\n") == [UNAVAILABLE, "Try again"]
