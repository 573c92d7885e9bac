"""The parts of the study app that need no browser: sounds, words, password, export address, and the server's routes."""

from __future__ import annotations

import asyncio
import io
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner
from starlette.requests import Request

from evalkit.errors import UserError
from studies import session
from studies.app import serve, server
from studies.app.guard import Guard
from studies.app.password import hashed, is_hash, is_right
from studies.app.records import export_token, is_export_token
from studies.app.sounds import RATE, antiphase_tone, check_sound, huggins_noise, pcm_wav, right_answer, volume_sound
from studies.app.words import FOLDER, best_language, language_name, words_of
from studies.opening import find_study
from studies.store import StoreUnavailable, open_store

SECRET = bytes(range(32))


# ---- sounds ----------------------------------------------------------------------------------------------------------


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt((sound**2).mean()))


def test_the_soft_tone_is_6_db_softer_and_the_foil_cancels_in_the_air_only() -> None:
    plain, soft, foil = (
        antiphase_tone(soft=soft, inverted=inverted)
        for soft, inverted in ((False, False), (True, False), (False, True))
    )
    assert 20 * np.log10(rms(soft) / rms(plain)) == pytest.approx(-6)
    assert rms(foil) == pytest.approx(rms(plain))  # at each ear
    assert np.abs(foil.sum(axis=1)).max() < 1e-12  # over loudspeakers: even softer than the soft one
    spectrum = np.abs(np.fft.rfft(plain[:, 0]))
    assert np.fft.rfftfreq(RATE, 1 / RATE)[spectrum.argmax()] == 200


def test_the_hidden_tone_is_in_the_phase_between_the_ears_and_nowhere_else() -> None:
    sound = huggins_noise(tone=True, seed=3)
    middle = sound[RATE // 4 : -RATE // 4]  # without the fades
    left, right = (np.fft.rfft(middle[:, ear] * np.hanning(len(middle))) for ear in (0, 1))
    frequency = np.fft.rfftfreq(len(middle), 1 / RATE)
    loud = (frequency > 100) & (frequency < 3500)
    shift = np.abs(np.angle(right / left))
    assert np.median(shift[np.abs(frequency - 600) < 8]) > 2.5  # about 180 degrees
    assert np.median(shift[loud & (np.abs(frequency - 600) > 60)]) < 0.05
    assert np.array_equal(*huggins_noise(tone=False, seed=3).T)
    assert rms(sound[:, 0]) == pytest.approx(rms(sound[:, 1]), rel=0.02)  # neither ear alone can tell


def test_sounds_are_plain_wav_at_the_level_of_the_excerpts_and_do_not_clip() -> None:
    for content in (volume_sound(), check_sound("antiphase", SECRET, "t", 0), check_sound("huggins", SECRET, "t", 0)):
        samples, rate = soundfile.read(io.BytesIO(content), always_2d=True)
        assert (rate, samples.shape[1]) == (RATE, 2)
        assert np.abs(samples).max() < 0.95
        assert content[36:40] == b"data"  # nothing but the description and the sound
    samples, _ = soundfile.read(io.BytesIO(volume_sound()))
    assert 20 * np.log10(rms(samples)) == pytest.approx(-23, abs=0.1)


def test_wav_holds_the_very_samples() -> None:
    samples = np.array([[1, -2], [32767, -32768]], dtype=np.int16)
    read, rate = soundfile.read(io.BytesIO(pcm_wav(samples, 8000)), dtype="int16")
    assert rate == 8000
    np.testing.assert_array_equal(read, samples)


def test_the_answers_of_the_check_are_the_participants_own_and_spread_over_the_three() -> None:
    answers = [right_answer(SECRET, f"token-{i}", trial) for i in range(100) for trial in range(6)]
    counts = [answers.count(place) for place in (1, 2, 3)]
    assert sum(counts) == 600
    assert min(counts) > 150
    assert check_sound("antiphase", SECRET, "a", 0) == check_sound("antiphase", SECRET, "a", 0)
    softest = []
    for i in range(30):
        samples, _ = soundfile.read(io.BytesIO(check_sound("antiphase", SECRET, f"{i}", 0)))
        intervals = [samples[int(k * 1.5 * RATE) : int(k * 1.5 * RATE) + RATE] for k in range(3)]
        softest.append(1 + int(np.argmin([rms(interval) for interval in intervals])))
        summed = [rms(interval.sum(axis=1)) for interval in intervals]
        assert 1 + int(np.argmin(summed)) != softest[-1]  # loudspeakers mislead
    assert softest == [right_answer(SECRET, f"{i}", 0) for i in range(30)]


# ---- words -----------------------------------------------------------------------------------------------------------


def test_every_catalogue_says_everything_with_the_same_gaps() -> None:
    catalogues = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.yaml")}
    assert {"en", "de"} <= set(catalogues)
    english = catalogues["en"]
    for name, catalogue in catalogues.items():
        assert set(catalogue) == set(english), name
        for key, text in catalogue.items():
            assert type(text) is type(english[key]), (name, key)
            assert _gaps(text) == _gaps(english[key]), (name, key)


def _gaps(text: object) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", str(text)))


def test_a_place_that_arrow_keys_pass_through_stays_with_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has place 2, the second 3; the third goes by 2 and 3 to 1, as a participant without a mouse does."""
    from studies.app import answering

    chosen: dict[str, object] = {"a": 2, "b": 3, "c": None}
    monkeypatch.setattr(answering.st, "session_state", chosen)
    seen = []
    for place in (2, 3, 1):
        chosen["c"] = place
        answering._only_one(["a", "b", "c"], "c")
        seen.append([chosen[key] for key in "abc"])
    assert seen == [[None, 3, 2], [2, None, 3], [2, 3, 1]]
    chosen["a"] = 3  # taken for good by whoever stays there
    answering._only_one(["a", "b", "c"], "a")
    chosen["b"] = 2
    answering._only_one(["a", "b", "c"], "b")
    assert [chosen[key] for key in "abc"] == [3, 2, 1]


def test_every_word_that_the_pages_use_is_there() -> None:
    code = [path.read_text(encoding="utf-8") for path in (Path(serve.__file__).parent).glob("*.py")]
    used = set(chain.from_iterable(re.findall(r"""words(?:_of\(\w+\))?\["(\w+)"\]""", text) for text in code))
    assert len(used) > 40
    assert used <= set(words_of("en"))


@pytest.mark.parametrize(
    ("wanted", "offered", "best"),
    [
        ("de-AT", ("en", "de"), "de"),
        ("DE", ("en", "de"), "de"),
        ("pt-BR", ("en", "pt-PT", "pt-BR"), "pt-BR"),
        ("pt", ("en", "pt-PT"), "pt-PT"),
        ("fr", ("de", "en"), "de"),
        ("", ("de", "en"), "de"),
        ("../../etc", ("de",), "de"),
    ],
)
def test_the_language_that_fits_a_browser_best(wanted: str, offered: tuple[str, ...], best: str) -> None:
    assert best_language(wanted, offered) == best


def test_a_language_without_a_catalogue_is_shown_in_english_under_its_code() -> None:
    assert words_of("xx") == words_of("en")
    assert (language_name("xx"), language_name("de-AT")) == ("xx", "Deutsch")


# ---- the organiser ---------------------------------------------------------------------------------------------------


def test_a_password_is_known_by_its_hash_only() -> None:
    one, other = hashed("open sesame"), hashed("open sesame")
    assert one != other
    assert "sesame" not in one
    assert is_right("open sesame", one)
    assert is_right("open sesame", other)
    assert not is_right("open  sesame", one)
    assert not is_right("", one)
    assert is_hash(one)
    assert not any(map(is_hash, ("", "open sesame", one[:-1], one + "0", one.replace("scrypt:15", "scrypt:40"))))


def test_a_broken_hash_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="not what 'evalkit study password' prints"):
        serve.checked_hash("secret")
    assert serve.checked_hash("") is None
    printed = CliRunner().invoke(serve.password, ["--password", "x"]).output.strip()
    assert serve.checked_hash(printed) == printed


@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_password_is_refused(empty: str) -> None:
    with pytest.raises(UserError, match="--password: an empty password"):
        CliRunner().invoke(serve.password, ["--password", empty], catch_exceptions=False)


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="try another --port"):
            serve.bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError, match=r"--host nowhere\.invalid"):
        serve.bind("nowhere.invalid", 0)


# ---- the server ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(write_study, serve_studies, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = write_study(tmp_path_factory.mktemp("site") / "study", "choice", headphone_check="huggins")
    (url,) = serve_studies(folder, EVALKIT_ORGANISER_HASH=hashed("open sesame"))
    return url, folder


def get(url: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=30) as reply:
            return reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


@pytest.mark.parametrize(
    "path",
    ["_stcore/metrics", "_stcore/agent/openapi.json", "_stcore/agent/interact", "organiser/_stcore/metrics",
     "media/x.wav", "_stcore/upload_file/a/b", "component/x", "app/static/x", "stim/AAAA",
     "anything", "_stcore/bidi-components/x", "sound/99999", "sound/x", "export/1-2"],
)  # fmt: skip
def test_what_is_closed(site, path: str) -> None:
    status, headers, body = get(site[0] + path)
    assert status == 404
    assert headers["x-content-type-options"] == "nosniff"
    assert b"zarquon" not in body


def test_what_is_open_and_its_headers(site) -> None:
    url, _ = site
    for path in ("", "organiser"):
        status, headers, body = get(url + path)
        assert status == 200
        assert "server" not in headers
        assert headers["referrer-policy"] == "no-referrer"
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert b"<title>Which bars fit better?</title>" in body
        assert b"agent" not in body
    assert get(url + "_stcore/health")[0] == 200
    status, headers, body = get(url + "sound/3?p=whoever")
    assert (status, headers["cache-control"], headers["content-encoding"]) == (200, "no-store", "identity")
    assert body[:4] == b"RIFF"


@pytest.mark.parametrize(
    ("origin", "reaches"),
    [
        (None, True),
        ("https://study.example.org", True),
        ("http://localhost:9000", True),  # Streamlit knows this machine without asking
        ("https://evil.example", False),
        ("https://study.example.org.evil.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_a_websocket_of_a_foreign_page_is_closed_before_streamlit_asks_the_internet(origin, reaches, caplog) -> None:
    seen, sent = [], []

    async def streamlit(scope, receive, send) -> None:
        seen.append(scope["path"])

    async def send(message) -> None:
        sent.append(message["type"])

    headers = [(b"host", b"study.example.org"), *([(b"origin", origin.encode())] if origin else [])]
    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": headers}
    asyncio.run(Guard(streamlit)(scope, None, send))
    assert (seen, sent) == ((["/_stcore/stream"], []) if reaches else ([], ["websocket.close"]))
    assert ("does the proxy keep the Host header" in caplog.text) != reaches


def test_a_title_is_text_and_no_markup(site, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = site
    opened = find_study(open_store(str(folder / "study.sqlite")), "fitting", folder)
    study = opened.study.model_copy(update={"title": {"": "</title><script>x & y"}})
    monkeypatch.setattr(server, "_serving", [server.Serving(replace(opened, study=study))])
    assert "<title>&lt;/title>&lt;script>x &amp; y</title>" in server._index.__wrapped__()


@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_audio_that_is_not_there_is_no_page_and_one_line_in_the_log(
    site, damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, folder = site
    opened = find_study(open_store(str(folder / "study.sqlite")), "fitting", folder)
    monkeypatch.setattr(server, "_serving", [server.Serving(opened)])
    audio = folder / "rendered" / "lost.flac"
    monkeypatch.setattr(session, "resolve_stimulus", lambda opened, token: SimpleNamespace(audio="rendered/lost.flac"))
    if damage == "cut off":
        audio.write_bytes(b"fLaC")
    scope = {"type": "http", "method": "GET", "path_params": {"token": "x"}, "headers": []}
    queries = [b"as=wav"] if damage == "cut off" else [b"", b"as=wav"]
    for query in queries:
        caplog.clear()
        reply = server.stimulus(Request({**scope, "query_string": query}))
        assert reply.status_code == 404
        assert b"lost" not in reply.body
        (line,) = caplog.records
        assert "lost.flac" in line.getMessage()
        assert line.exc_info is None
    audio.unlink(missing_ok=True)
    opened.store.close()


def test_a_database_that_is_away_is_named_in_the_log_and_not_to_participants(caplog: pytest.LogCaptureFixture) -> None:
    away = StoreUnavailable("postgresql+psycopg://lab@db.example.org/study: the database is not available")
    reply = server._refusal(away)
    assert (reply.status_code, b"unavailable" in reply.body, b"example" in reply.body) == (503, True, False)
    assert [line.getMessage() for line in caplog.records] == [str(away)]


def test_forged_and_broken_reports_are_refused(site) -> None:
    url, _ = site
    assert get(url + "event", b"not json")[0] == 400
    assert get(url + "event", b'{"token": 1, "page": "x", "events": []}')[0] == 400
    assert get(url + "event", b"[" * 100_000)[0] == 400
    report = b'{"token": "x", "page": "x", "events": []}'
    assert get(url + "event", report + b" " * 300_000)[0] == 400
    status, _, body = get(url + "event", report)
    assert (status, b"unknown_token" in body) == (403, True)


def test_the_export_opens_for_its_minutes_and_for_nobody_else(site) -> None:
    url, folder = site
    opened = find_study(open_store(str(folder / "study.sqlite")), "fitting", folder)
    token = export_token(opened, now=1000)
    assert is_export_token(opened, token, now=1000 + 600)
    assert not is_export_token(opened, token, now=1000 + 601)
    assert not is_export_token(opened, token.replace("1600", "9600"), now=1000)
    status, headers, body = get(url + "export/" + export_token(opened))
    assert (status, headers["content-type"]) == (200, "application/zip")
    names = zipfile.ZipFile(io.BytesIO(body)).namelist()
    assert {"fitting/codebook.json", "fitting/answers_fits.csv", "fitting/study.yaml"} <= set(names)


@pytest.mark.parametrize("rendered", [False, True], ids=["nothing rendered yet", "started again"])
def test_the_command_renders_what_is_missing_serves_and_stops_in_order(rendered: bool, recordings: Path) -> None:
    command = [sys.executable, "-c", "from evalkit.cli import main; main()", "study", "serve", str(recordings)]
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    assert (recordings / "rendered/manifest.json").is_file()
    assert get(line.split(" is open at ")[1].split(" ")[0])[0] == 200
    process.terminate()
    assert process.wait(timeout=30) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rating study of recordings, which need no synthesizer."""
    folder = tmp_path_factory.mktemp("recordings")
    text = {
        "name": "own",
        "title": "Own",
        "text": {"consent": "Yes"},
        "design": "rating",
        "target": {"participants": 2},
    }
    text |= {"questions": [{"name": "human", "kind": "likert", "text": "Who"}], "systems": {"a": "a", "b": "b"}}
    (folder / "study.yaml").write_text(yaml.safe_dump(text | {"trials": {"per_participant": 2}}))
    noise = np.random.default_rng(0).normal(0, 0.05, (4, 44_100))
    for i, (system, item) in enumerate(("ax", "ay", "bx", "by")):
        (folder / system).mkdir(exist_ok=True)
        soundfile.write(folder / system / f"{item}.wav", noise[i], 44_100)
    return folder


def test_serving_what_is_no_study_is_one_sentence(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(serve.serve, [str(tmp_path)])
    assert isinstance(outcome.exception, UserError)
    assert "study.yaml" in str(outcome.exception)
