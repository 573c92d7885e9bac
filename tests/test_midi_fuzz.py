"""5,000 broken and hostile MIDI files: none crashes, hangs or swells, and each is a bounded piece or a MidiError.

They are read in a child process (this file run as a script), so that a crash of the parser is a failed test.
"""

import json
import random
import resource
import struct
import subprocess
import sys
import time

import pytest

FILES = 5_000
SECONDS_EACH = 2.0
MEBIBYTES = 1_500  # of the whole child, with the largest allowed roll (25 MB) and its note and index columns


def test_mutated_files_are_pieces_or_errors_that_name_them():
    child = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, f"the reader died with {child.returncode}: {child.stderr[-2000:]}"
    report = json.loads(child.stdout)
    assert report["faults"] == []
    assert report["slowest"][0] < SECONDS_EACH, report["slowest"]
    assert report["mebibytes"] < MEBIBYTES
    # the files must reach both outcomes, and many reasons, or they test nothing
    assert report["read"] + report["refused"] == FILES
    assert report["read"] > FILES // 10
    assert report["sounding"] > FILES // 20
    assert report["refused"] > FILES // 10
    assert len(report["reasons"]) > 10, report["reasons"]


@pytest.mark.parametrize("seed", [0, 17])
def test_the_files_are_the_same_every_time(seed):
    assert hostile_file(seed) == hostile_file(seed)
    assert hostile_file(seed) != hostile_file(seed + 1)


# --- the files


def variable_length(number):
    sevens = [number & 0x7F]
    while number := number >> 7:
        sevens.insert(0, number & 0x7F | 0x80)
    return bytes(sevens)


def chunk(body):
    return b"MTrk" + struct.pack(">I", len(body)) + body


def smf(*bodies, kind=1, division=480):
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(bodies), division) + b"".join(map(chunk, bodies))


def melody(dice, notes, channel=0, longest=960):
    """A track body of random notes, some of them by running status or without an end."""
    body = bytes([0, 0xC0 | channel, dice.randrange(128)])
    for _ in range(notes):
        pitch = dice.randrange(128)
        body += variable_length(dice.randrange(240)) + bytes([0x90 | channel, pitch, dice.randrange(1, 128)])
        if dice.random() < 0.9:
            body += variable_length(dice.randrange(longest)) + bytes([pitch, 0])
    return body + b"\x00\xff\x2f\x00"


def conductor(dice, changes):
    """A track body of tempi, time signatures, names and controllers, absurd ones among them."""
    body = b"\x00\xff\x03\x04name"
    for _ in range(changes):
        event = dice.choice(
            [
                b"\xff\x51\x03" + dice.choice([b"\0\0\0", b"\0\0\1", b"\x07\xa1\x20", b"\xff\xff\xff"]),
                b"\xff\x58\x04" + bytes([dice.choice([0, 3, 4, 255]), dice.choice([0, 2, 3, 7, 31, 255]), 24, 8]),
                b"\xff\x59\x02" + bytes([dice.randrange(256), dice.randrange(4)]),
                b"\xb0\x7b\x00",
                b"\xe0\x00\x40",
                b"\xf0\x03\x01\x02\xf7",
            ]
        )
        body += variable_length(dice.choice([0, 1, 480, 70_000])) + event
    return body + b"\x00\xff\x2f\x00"


def seed_file(dice):
    division = dice.choice([1, 4, 24, 480, 1024, 0x7FFF])
    bodies = [conductor(dice, dice.randrange(12))]
    bodies += [melody(dice, dice.randrange(40), dice.randrange(16)) for _ in range(dice.randrange(4))]
    return smf(*bodies, kind=dice.choice([0, 1, 1, 1, 2]), division=division)


def flip_bytes(dice, data):
    data = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 8, 64])):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def truncate(dice, data):
    return data[: dice.randrange(len(data))]


def drop_or_double(dice, data):
    start = dice.randrange(len(data))
    stop = min(len(data), start + dice.randrange(1, 40))
    return data[:start] + data[start:stop] * dice.choice([0, 2, 50]) + data[stop:]


def long_chunk(dice, data):
    at = data.find(b"MTrk", dice.randrange(len(data)))
    length = dice.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, len(data)])
    return data if at < 0 else data[: at + 4] + struct.pack(">I", length) + data[at + 8 :]


def huge_deltas(dice, data):
    """Notes and rests of up to 2^28 - 1 ticks, enough of them to pass 2^31 and 2^32."""
    body = b""
    for _ in range(dice.choice([1, 2, 7, 9, 15, 17, 40])):
        delta = dice.choice([0x0FFFFFFF, 0x0FFFFFFF, 0x08000000, 200_000, 1])
        body += variable_length(delta) + dice.choice([b"\x90\x3c\x50", b"\x80\x3c\x00", b"\xb0\x7b\x00"])
    return smf(body + b"\x00\xff\x2f\x00", melody(dice, 5), division=dice.choice([1, 480, 0x7FFF]))


def extreme_header(dice, data):
    kind, tracks = dice.choice([0, 1, 2, 3, 65535]), dice.choice([0, 1, 2, 65535])
    division = dice.choice([0, 1, 2, 0x7FFF, 0x8000, 0xE728, 0xFFFF])
    return data[:8] + struct.pack(">HHH", kind, tracks, division) + data[14:]


def many_changes(dice, data):
    return smf(conductor(dice, 2_000), melody(dice, 200, longest=70_000), division=dice.choice([1, 4, 480]))


MUTATIONS = [flip_bytes, flip_bytes, flip_bytes, truncate, drop_or_double, long_chunk, huge_deltas, extreme_header]


def hostile_file(seed):
    dice = random.Random(seed)
    if seed % 250 == 0:
        return many_changes(dice, b"")
    data = seed_file(dice)
    for _ in range(dice.choice([1, 1, 1, 2])):
        data = dice.choice(MUTATIONS)(dice, data) or b"\x00"
    return data


# --- the child


def read_all():
    from evalkit.errors import MidiError
    from evalkit.music import midi, pianoroll
    from evalkit.music.notes import bar_starts, quantise, whole_bars

    faults, reasons, read, refused, sounding, slowest = [], set(), 0, 0, 0, (0.0, "")
    for seed in range(FILES):
        data, name = hostile_file(seed), f"folder/{seed}.mid"
        began = time.perf_counter()
        try:
            piece = midi.parse_midi(data, name)
            steps = quantise(piece)
            roll = pianoroll.encode(steps)
            bars = bar_starts(steps)
            whole = whole_bars(piece)
            read += 1
            sounding += bool(roll.any())
            if (
                roll.any() != any(not piece.tracks[track].is_drum for track in piece.notes["track"])
                or len(roll) != steps.end
                or steps.end > midi.MAX_SIXTEENTHS + 1
            ):
                faults.append(f"{name}: {len(piece.notes)} notes, roll {roll.shape}, end {steps.end}")
            if bars[-1] > steps.end or whole.end > piece.end or (piece.notes["onset"] < 0).any():
                faults.append(f"{name}: bars {bars[-1]} of {steps.end}, {whole.end} of {piece.end}")
        except MidiError as error:
            refused += 1
            reasons.add("".join(c for c in error.reason if not c.isdigit()))
            if not str(error).startswith(f"{name}: ") or not error.reason:
                faults.append(f"{name}: unclear error {error}")
        except Exception as error:
            faults.append(f"{name}: {type(error).__name__} {error}")
        slowest = max(slowest, (time.perf_counter() - began, name))
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return {
        "faults": faults[:20],
        "reasons": sorted(reasons),
        "read": read,
        "refused": refused,
        "sounding": sounding,
        "slowest": slowest,
        "mebibytes": kibibytes / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(read_all()))
