"""Recordings to PCM: libsndfile decodes, the channels are averaged, soxr resamples, rounding makes int16.

The file is read once, into memory: the same bytes are hashed and decoded, block by block, so that an hour at 96 kHz in
eight channels costs no more than its file and its int16 result.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sharding.containers import ends_early, is_unsupported, mp3_frame_count, with_open_end
from sharding.datasets.catalog import Probe
from sharding.faults import Fault, RecordingError

BLOCK_FRAMES = 1 << 16
QUALITY = "HQ"  # soxr: 20 bits, pass band up to 0.91 of the lower Nyquist frequency
FULL_SCALE = 32768
SLOWEST_RATE, FASTEST_RATE = 1_000, 768_000  # Hz; a rate outside is a damaged header, and 1 Hz would fill the memory
LENGTH_UNKNOWN = 1 << 48  # libsndfile says 2^63 - 1 frames where a header leaves the length open
LONGEST_SAMPLES = (2**32 - 37) // 2  # the RIFF size, 36 bytes more than the PCM, is an unsigned 32-bit integer
MP3_SLACK_FRAMES = 2 * 1152  # encoder delay and padding, and taggers that count the Xing frame itself

Pcm = npt.NDArray[np.int16]
Mono = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Decoded:
    """One recording as it goes into a shard."""

    pcm: Pcm
    """Mono, int16, shape ``[N]``."""
    peak: int
    """Largest absolute sample, 1 .. 32768."""
    clipped: int
    """Samples that lay beyond int16 and were set to its ends."""


def decoder_versions() -> dict[str, str]:
    """What decodes and resamples here, for the manifest: the same versions give the same shards."""
    return {
        "decoder": f"libsndfile {soundfile.__libsndfile_version__.removeprefix('libsndfile-')}",
        "resampler": f"soxr {soxr.__version__} {QUALITY}",
        "soundfile": soundfile.__version__,
        "numpy": np.__version__,
    }


def read_source(path: Path) -> bytes:
    """The bytes of a recording.

    Raises:
        RecordingError: the file is missing, unreadable or empty.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise RecordingError(Fault.UNREADABLE)
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise RecordingError(Fault.MISSING) from error
    except OSError as error:
        raise RecordingError(Fault.UNREADABLE) from error
    if not data:
        raise RecordingError(Fault.EMPTY)
    return data


def probe(path: Path) -> Probe:
    """A file's size and the length that its header states, an estimate, without decoding."""
    try:
        status = path.stat()
    except OSError:
        return Probe()
    if not stat.S_ISREG(status.st_mode):
        return Probe()
    try:
        info = soundfile.info(str(path))
    except (OSError, soundfile.SoundFileError):
        return Probe(0.0, status.st_size)
    if not SLOWEST_RATE <= info.samplerate <= FASTEST_RATE:
        return Probe(0.0, status.st_size)
    # A FLAC of unknown length: lossless compression leaves about a byte of every 16-bit sample.
    frames = info.frames if info.frames < LENGTH_UNKNOWN else status.st_size / info.channels
    return Probe(float(frames / info.samplerate), status.st_size)


def decode(data: bytes, sample_rate: int, shortest: int = 1) -> Decoded:
    """Decode a whole recording to mono int16.

    A mono 16-bit recording at ``sample_rate`` comes out as it is, to the bit.

    Args:
        data: the file, in any format libsndfile reads; its content counts, not its name.
        sample_rate: Hz wanted.
        shortest: samples at ``sample_rate`` below which the recording is refused.

    Raises:
        RecordingError: with the fault that keeps the recording out.
    """
    if ends_early(data):
        raise RecordingError(Fault.TRUNCATED)
    quantised = [quantise(block) for block in _resampled(data, sample_rate)]
    pcm = np.concatenate([np.empty(0, np.int16), *(block for block, _ in quantised)])
    if len(pcm) < shortest:
        raise RecordingError(Fault.TOO_SHORT)
    if len(pcm) > LONGEST_SAMPLES:
        raise RecordingError(Fault.TOO_LONG)
    peak = max(int(pcm.max()), -int(pcm.min()))
    if peak == 0:
        raise RecordingError(Fault.SILENT)
    return Decoded(pcm, peak, sum(clipped for _, clipped in quantised))


def quantise(samples: Mono) -> tuple[Pcm, int]:
    """float32 in [-1, 1) to int16, and how many samples had to be clipped."""
    # x = n / 32768 is exact in float32 for every int16 n, so 16-bit sources come back to the bit.
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    clipped = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1)
    return clipped.astype(np.int16), int(np.count_nonzero(clipped != scaled))


def _resampled(data: bytes, sample_rate: int) -> Iterator[Mono]:
    """Blocks of mono samples at ``sample_rate``; the same samples for any size of block."""
    file, promised = _open(data)
    with file:
        if not SLOWEST_RATE <= file.samplerate <= FASTEST_RATE:
            raise RecordingError(Fault.UNDECODABLE)
        blocks = _mono(file, promised)
        if file.samplerate == sample_rate:
            yield from blocks
            return
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality=QUALITY)
        for block in blocks:
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _stream(data: bytes) -> soundfile.SoundFile:
    """A file to read from front to end: SoundFile seeks after every block, which breaks FLAC of unknown length."""
    file = soundfile.SoundFile(io.BytesIO(data))
    file.seekable = lambda: False
    return file


def _open(data: bytes) -> tuple[soundfile.SoundFile, int]:
    """The opened file, and how many frames its header promises (0: it promises nothing)."""
    try:
        file = _stream(data)
        if file.format != "MP3":
            return file, file.frames if file.frames < LENGTH_UNKNOWN else 0
        if mp3_frame_count(data) is not None:
            return file, file.frames - MP3_SLACK_FRAMES
        file.close()
        return _stream(with_open_end(data)), 0
    except soundfile.SoundFileError as error:
        raise RecordingError(Fault.UNSUPPORTED if is_unsupported(data) else Fault.UNDECODABLE) from error


def _mono(file: soundfile.SoundFile, promised: int) -> Iterator[Mono]:
    """Blocks of the mean of all channels."""
    frames = 0
    while True:
        try:
            block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:  # FLAC: "decoder lost sync" where the file is cut
            raise RecordingError(Fault.TRUNCATED) from error
        if not len(block):
            break
        frames += len(block)
        with np.errstate(over="ignore", invalid="ignore"):
            # Column after column: three times as fast as block.mean(axis=1), which strides over short rows.
            mono: Mono = reduce(np.add, block.T) / np.float32(file.channels)
        if not np.isfinite(mono).all():
            raise RecordingError(Fault.NOT_FINITE)
        yield mono
    if frames < promised:
        raise RecordingError(Fault.TRUNCATED)
