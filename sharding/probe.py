"""What a file's header states, without decoding it: on a file system, or in a bucket.

libsndfile reads less than 20 kB of WAV, AIFF, FLAC and MP3 files, with or without a Xing header, at their front and
behind an ID3 tag, and the last 64 kB of an Ogg file: one to three requests of a reader that keeps blocks of 64 KiB.
What only ffmpeg reads is guessed by its size: shards are dealt by these lengths, and may come out smaller or larger.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import soundfile

from clmr.errors import StorageError
from sharding.containers import ffmpeg_demuxer
from sharding.datasets.catalog import Probe
from sharding.mp3 import ID3V1_BYTES, ID3V2_HEADER_BYTES, after_id3v2
from sharding.storage import Place

SLOWEST_RATE, FASTEST_RATE = 1_000, 768_000  # Hz; a rate outside is a damaged header, and 1 Hz would fill the memory
LENGTH_UNKNOWN = 1 << 48  # libsndfile says 2^63 - 1 frames where a header leaves the length open

LOSSLESS = {"ape", "caf", "tta", "wv"}  # ffmpeg's demuxers
LOSSLESS_RATE, LOSSY_RATE = 100_000, 16_000  # bytes of a second: a CD at 57 %, 128 kbit/s
HEAD_BYTES = 64  # as many as tell what kind of file it is


def probe(source: Place, name: str) -> Probe:
    """A file's size and the length that its header states, an estimate; zeros for what cannot be read.

    Raises:
        StorageError: the object store does not answer.
    """
    return _probe_path(source.root / name) if source.root else _probe_object(source, name)


def _probe_path(path: Path) -> Probe:
    try:
        status = path.stat()
    except OSError:
        return Probe()
    if not stat.S_ISREG(status.st_mode):
        return Probe()
    try:
        return Probe(_stated(soundfile.info(os.fsencode(path)), status.st_size), status.st_size)
    except soundfile.SoundFileError:
        pass
    try:
        with path.open("rb") as file:
            return Probe(_guessed(file.read(HEAD_BYTES), status.st_size), status.st_size)
    except OSError:
        return Probe(0.0, status.st_size)


def _probe_object(source: Place, name: str) -> Probe:
    try:
        with source.open(name) as file:
            header = _Header(file)
            try:
                seconds = _stated(soundfile.info(header), header.size)
            except soundfile.SoundFileError:
                header.seek(0)
                seconds = _guessed(header.read(HEAD_BYTES), header.size)
    except OSError:  # it is not there, or not for us
        return Probe()
    if isinstance(header.error, StorageError):
        raise header.error
    return Probe(0.0 if header.error else seconds, header.size)


def _stated(info: soundfile._SoundFileInfo, size: int) -> float:
    if not SLOWEST_RATE <= info.samplerate <= FASTEST_RATE:
        return 0.0
    # A FLAC of unknown length: lossless compression leaves about a byte of every 16-bit sample.
    frames = info.frames if info.frames < LENGTH_UNKNOWN else size / info.channels
    return float(frames / info.samplerate)


def _guessed(head: bytes, size: int) -> float:
    demuxer = ffmpeg_demuxer(head)
    if demuxer is None:
        return 0.0
    return size / (LOSSLESS_RATE if demuxer in LOSSLESS else LOSSY_RATE)


class _Header:
    """A remote file, as libsndfile reads it: C lets no exception through, so what goes wrong is kept for the caller.

    What ID3 tags hold, pictures above all, says nothing of the length: it comes out as zeros, without a request.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        first = file.read(ID3V2_HEADER_BYTES)
        file.seek(0)
        self._tags = (range(len(first), after_id3v2(first)), range(self.size - ID3V1_BYTES, self.size))
        self.error: StorageError | OSError | None = None
        self.seek, self.tell = file.seek, file.tell
        self._file = file

    def read(self, count: int) -> bytes:
        """Bytes from the position on; none after an error."""
        position = self.tell()
        if any(position in tag and position + count == tag.stop for tag in self._tags):
            self.seek(position + count)
            return bytes(count)
        try:
            return b"" if self.error else self._file.read(count)
        except (StorageError, OSError) as error:
            self.error = error
            return b""
