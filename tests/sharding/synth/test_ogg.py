"""Serial numbers of Ogg streams, against libsndfile's own checksums and FFmpeg."""

from __future__ import annotations

import io
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from sharding.synth.ogg import checksum, set_serial


@pytest.fixture(scope="module")
def stream() -> bytes:
    file = io.BytesIO()
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000 * 6) / 16000)
    soundfile.write(file, tone, 16000, format="OGG", subtype="VORBIS")
    return file.getvalue()


def test_the_checksum_is_the_one_libogg_writes(stream: bytes) -> None:
    segments = stream[26]
    page = bytearray(stream[: 27 + segments + sum(stream[27 : 27 + segments])])
    (written,) = struct.unpack_from("<I", page, 22)
    page[22:26] = bytes(4)
    assert checksum(bytes(page)) == written


def test_any_serial_can_be_put_in_and_taken_back(stream: bytes) -> None:
    (serial,) = struct.unpack_from("<I", stream, 14)
    changed = set_serial(stream, 1)
    assert changed != stream
    assert set_serial(changed, serial) == stream


@pytest.mark.needs("ffmpeg")
def test_ffmpeg_finds_the_checksums_right(stream: bytes) -> None:
    command = ("ffmpeg", "-v", "warning", "-f", "ogg", "-i", "-", "-f", "s16le", "-")
    good = subprocess.run(command, input=set_serial(stream, 1), capture_output=True, check=True)
    assert good.stderr == b""
    assert good.stdout == subprocess.run(command, input=stream, capture_output=True, check=True).stdout
    damaged = bytearray(set_serial(stream, 1))
    damaged[len(damaged) // 2] ^= 1
    bad = subprocess.run(command, input=bytes(damaged), capture_output=True, check=False)
    assert b"CRC" in bad.stderr
