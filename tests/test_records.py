"""Records of shards: none is read but as it was written, and no answer is written that is no music."""

from pathlib import Path

import numpy as np
import pytest

from evalkit.bench.records import read_record, record_bytes, record_key, record_path, record_text, write_record
from evalkit.bench.tasks.pieces import checked_pieces, decode_pieces, pack
from evalkit.music.representations import REPRESENTATIONS


def test_records_know_their_key(tmp_path: Path):
    payload = {"b": np.arange(3), "a": np.ones((2, 0), bool)}
    text = record_text({"seed": 1})
    write_record(tmp_path, text, payload)
    stored = read_record(tmp_path, record_key(text))
    assert stored is not None
    assert {k: (v.dtype, v.tolist()) for k, v in stored.items()} == {
        k: (v.dtype, v.tolist()) for k, v in payload.items()
    }
    assert record_bytes(text, payload) == record_bytes(text, dict(reversed(payload.items())))
    other = record_key(record_text({"seed": 2}))
    assert read_record(tmp_path, other) is None
    record_path(tmp_path, other).parent.mkdir(exist_ok=True)
    record_path(tmp_path, record_key(text)).rename(record_path(tmp_path, other))
    assert read_record(tmp_path, other) is None


def test_no_damaged_byte_goes_unnoticed(tmp_path: Path):
    text = record_text({"seed": 1})
    write_record(tmp_path, text, {"a": np.arange(4)})
    path = record_path(tmp_path, record_key(text))
    sound = path.read_bytes()
    for i in range(len(sound)):
        for flip in (0x01, 0x40, 0xFF):
            path.write_bytes(sound[:i] + bytes([sound[i] ^ flip]) + sound[i + 1 :])
            assert read_record(tmp_path, record_key(text)) is None, (i, flip)
        path.write_bytes(sound[:i])
        assert read_record(tmp_path, record_key(text)) is None, i


def test_pieces_of_any_length_survive_packing():
    lengths = [3, 0, 5, 0]
    pieces = [np.full((n, 4), 60 + n, np.int16) for n in lengths]
    decoded = decode_pieces([pack(pieces[:1]), pack(pieces[1:])], "satb")
    assert [p.end for p in decoded] == lengths
    assert set(decoded[2].notes["pitch"]) == {65}


@pytest.mark.parametrize(
    ("pieces", "complaint"),
    [
        ([np.zeros((4, 4), np.int16), np.zeros((4, 3), np.int16)], r"piece 1 has shape \(4, 3\)"),
        ([np.zeros((4, 4), np.int16), np.zeros((5, 4), np.int16)], "piece 1 has 5 steps where at most 4"),
        ([np.zeros((4, 4), np.int16), [[0] * 4] * 4], "piece 1 is list instead of an array"),
        ([np.full((4, 4), 60.0), np.zeros((4, 4), np.int16)], "piece 0 is float64"),
        ([np.full((4, 4), 65596), np.zeros((4, 4), np.int16)], r"piece 0 is int64 \(or out of its range\)"),
        ([np.full((4, 4), 128), np.zeros((4, 4), np.int16)], "not in the representation satb"),
        ([np.array([[object()] * 4]), np.zeros((4, 4), np.int16)], "piece 0 is object"),
        ({"a": 1}, "returned dict"),
    ],
)
def test_what_is_no_music_is_refused_with_the_reason(pieces, complaint):
    with pytest.raises(ValueError, match=complaint):
        checked_pieces(pieces, 2, 4, REPRESENTATIONS["satb"])


def test_integers_of_any_width_are_taken():
    taken = checked_pieces([np.full((4, 4), 60, np.int64)], 1, 4, REPRESENTATIONS["satb"])
    assert taken[0].dtype == np.int16
