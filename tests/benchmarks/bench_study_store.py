"""How long a committed answer takes with 50 people answering at once, on SQLite and on PostgreSQL.

Each writer is a thread of one process, as in the app, with a pause of two or half a second on average between answers
(who listens to two excerpts answers more rarely), or none: that measures throughput.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import yaml

from studies import session
from studies.design import parse_study
from studies.manifest import Stimulus
from studies.opening import open_study
from studies.store import open_store

WRITERS, TRIALS, ITEMS = 50, 8, 30


def open_bench(url: str, name: str) -> session.OpenStudy:
    definition = {
        "name": name, "title": "bench", "text": {"consent": "yes"}, "design": "paired", "gate": 0,
        "questions": [{"name": "q", "kind": "choice", "text": "?"}], "systems": {"a": "a", "b": "b", "c": "c"},
        "trials": {"per_participant": TRIALS, "practice": 0}, "target": {"participants": WRITERS},
    }  # fmt: skip
    study = parse_study(yaml.safe_dump(definition), "study.yaml", Path())
    stimuli = [Stimulus(s, f"{i}", "plain", f"{s}{i}.wav", None, f"{s}{i}", 10.0) for s in "abc" for i in range(ITEMS)]
    return open_study(open_store(url), study, stimuli)


def take_part(opened: session.OpenStudy, token: str, pause: float, seed: int, took: list[float]) -> None:
    rng = np.random.default_rng(seed)
    time.sleep(rng.uniform(0, pause))
    while (page := session.next_trial(opened, token)) is not None:
        time.sleep(rng.exponential(pause) if pause else 0)
        start = time.perf_counter()
        session.submit(opened, token, page.trial, page.page_id, {"q": "left"})
        took.append(time.perf_counter() - start)


def measure(url: str, pause: float) -> None:
    opened = open_bench(url, f"bench-{time.monotonic_ns()}")
    tokens = [session.enrol(opened) for _ in range(WRITERS)]
    for token in tokens:
        session.give_consent(opened, token, True)
        session.set_sound(opened, token, {"volume_set": True})
    took: list[float] = []
    threads = [
        threading.Thread(target=take_part, args=(opened, token, pause, i, took)) for i, token in enumerate(tokens)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    p50, p95, p99 = np.percentile(took, [50, 95, 99]) * 1000
    pace = f"every {pause:g} s" if pause else "flat out"
    rate = len(took) / seconds
    print(
        f"{url.partition(':')[0]:12} {WRITERS} writers, {pace:11} {rate:6.1f} answers/s  "
        f"p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  p99 {p99:6.1f} ms"
    )
    opened.store.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        urls = [f"sqlite:///{folder}/bench.sqlite"]
        try:
            import pgserver

            server = pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
            urls.append(server.get_uri())
        except ImportError:
            print("pgserver is not installed: SQLite only", file=sys.stderr)
        for url in urls:
            for pause in (2.0, 0.5, 0.0):
                measure(url, pause)


if __name__ == "__main__":
    main()
