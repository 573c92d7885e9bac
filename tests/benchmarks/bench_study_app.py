"""How long a returning participant waits for their page while 50 sessions are open, and what a session costs.

Fifty listeners hold a websocket each, at a trial of their own. Then one after the other comes back with their address,
as a browser does: the page, the socket, the first run of the script. "Ready" is when Streamlit says that it has run.
Target: under two seconds on two cores. Printed: times, and the server's memory per open session.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from hashlib import sha256
from pathlib import Path
from statistics import median

import numpy as np
import websockets

from evalkit.music.audio import SAMPLE_RATE
from studies import session
from studies.design import load_study
from studies.manifest import Roll, Stimulus, read_manifest, roll_json, write_manifest
from studies.opening import open_study
from studies.sound import flac_files
from studies.store import open_store

SESSIONS, RETURNING, TARGET = 50, 20, 2.0  # open sessions; page loads measured; seconds
SYSTEMS = ("one", "two")
STUDY = """
name: bench
title: Benchmark
text: {consent: Yes.}
design: paired
questions: [{name: better, kind: choice, text: Which one}]
systems: {one: midi/one, two: midi/two}
trials: {per_participant: 5, practice: 0}
target: {participants: 100}
"""
SERVE = """
import sys
from pathlib import Path
from studies.app import serve
from studies.design import load_study
from studies.manifest import read_manifest
from studies.store import open_store
study = load_study(Path(sys.argv[1]))
store = open_store(str(study.folder / "study.sqlite"))
serve.run(study, read_manifest(study.folder), store, serve.bind("127.0.0.1", 0), None)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = make_study(folder)
        process = subprocess.Popen([sys.executable, "-c", SERVE, str(folder)], stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            port = int(process.stderr.readline().split("localhost:")[1].split("/")[0])
            asyncio.run(measure(port, process.pid, tokens))
        finally:
            process.terminate()
            process.wait()


def make_study(folder: Path) -> list[str]:
    """A study of excerpts of ten seconds, and the tokens of its participants, who are at their first trial."""
    (folder / "study.yaml").write_text(STUDY)
    (folder / "rendered").mkdir()
    rng, stimuli = np.random.default_rng(0), []
    for item in range(6):
        for system, file in zip(SYSTEMS, flac_files(list(rng.normal(0, 0.05, (2, 10 * SAMPLE_RATE)))), strict=True):
            path = f"rendered/{system}-{item}"
            notes = tuple((i / 20, i / 20 + 0.05, int(rng.integers(40, 80))) for i in range(200))
            (folder / f"{path}.flac").write_bytes(file)
            (folder / f"{path}.json").write_text(roll_json(Roll(10.0, notes, (0.0, 5.0, 10.0), None)))
            stimuli.append(
                Stimulus(system, str(item), "plain", f"{path}.flac", f"{path}.json", sha256(file).hexdigest(), 10.0)
            )
    write_manifest(folder, stimuli)
    store = open_store(str(folder / "study.sqlite"))
    opened = open_study(store, load_study(folder), read_manifest(folder))
    tokens = [session.enrol(opened) for _ in range(SESSIONS + RETURNING)]
    for token in tokens:
        session.give_consent(opened, token, True)
        session.set_sound(opened, token, {"volume_set": True})
    store.close()
    return tokens


async def measure(port: int, pid: int, tokens: list[str]) -> None:
    await ready(port, tokens[0])  # what is loaded once is loaded
    before = resident(pid)
    sockets = [(await ready(port, token))[1] for token in tokens[:SESSIONS]]
    after = resident(pid)
    times = []
    for token in tokens[SESSIONS:]:
        seconds, socket = await ready(port, token)
        times.append(seconds)
        await socket.close()
    for socket in sockets:
        await socket.close()
    worst = sorted(times)[-max(1, len(times) // 20)]
    verdict = "within" if worst < TARGET else "ABOVE"
    print(f"page ready with {SESSIONS} sessions open: median {median(times):.2f} s, p95 {worst:.2f} s "
          f"({verdict} the target of {TARGET:.0f} s); load average {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"server memory: {before:.0f} MiB, and {(after - before) / SESSIONS:.2f} MiB for each open session")


async def ready(port: int, token: str) -> tuple[float, websockets.ClientConnection]:
    """Seconds until the page of a participant is there, and its socket."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    start = time.perf_counter()
    await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/?p={token}").read())
    socket = await websockets.connect(
        f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=["streamlit"], max_size=None
    )
    message = BackMsg()
    message.rerun_script.query_string = f"p={token}"
    await socket.send(message.SerializeToString())
    seen = b""
    while True:
        content = await socket.recv()
        seen += content
        answer = ForwardMsg()
        answer.ParseFromString(content)
        if answer.WhichOneof("type") == "script_finished":
            assert b"stim/" in seen, "this was not the page of a trial"
            return time.perf_counter() - start, socket


def resident(pid: int) -> float:
    """Resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
