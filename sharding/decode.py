"""Recordings to PCM: libsndfile decodes, the channels are averaged, soxr resamples, rounding makes int16.

The file is read once, into memory: the same bytes are hashed and decoded, block by block, so that an hour at 96 kHz in
eight channels costs no more than its file and its int16 result. What libsndfile does not read goes through ffmpeg,
where it is installed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sharding.faults import Fault, RecordingError
from sharding.opened import Opened, open_recording
from sharding.storage import Place

BLOCK_FRAMES = 1 << 15  # larger blocks leave the processor's cache, smaller ones cost more calls
QUALITY = "HQ"  # soxr: 20 bits, pass band up to 0.91 of the lower Nyquist frequency
FULL_SCALE = 32768
LONGEST_SAMPLES = (2**32 - 37) // 2  # the RIFF size, 36 bytes more than the PCM, is an unsigned 32-bit integer

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
    decoder: str = ""
    """Program and version, where it was not libsndfile."""


def decoder_versions() -> dict[str, str]:
    """What decodes and resamples here, for the manifest: the same versions give the same shards.

    Not ffmpeg's, which few recordings need and not every machine has: :attr:`Decoded.decoder` tells of it.
    """
    return {
        "decoder": f"libsndfile {soundfile.__libsndfile_version__.removeprefix('libsndfile-')}",
        "resampler": f"soxr {soxr.__version__} {QUALITY}",
        "soundfile": soundfile.__version__,
        "numpy": np.__version__,
    }


def read_source(source: Place, name: str) -> bytes:
    """The bytes of a recording's file.

    Raises:
        RecordingError: the file is missing, unreadable or empty.
        StorageError: the object store does not answer.
    """
    try:
        if source.root and not stat.S_ISREG((source.root / name).stat().st_mode):
            raise RecordingError(Fault.UNREADABLE)  # opening a pipe would wait for its writer
        data = source.read(name)
    except FileNotFoundError as error:
        raise RecordingError(Fault.MISSING) from error
    except OSError as error:
        raise RecordingError(Fault.UNREADABLE) from error
    if not data:
        raise RecordingError(Fault.EMPTY)
    return data


def decode(data: bytes, sample_rate: int, shortest: int = 1) -> Decoded:
    """Decode a whole recording to mono int16.

    A mono 16-bit recording at ``sample_rate`` comes out as it is, to the bit.

    Args:
        data: the file, in any format libsndfile or ffmpeg reads; its content counts, not its name.
        sample_rate: Hz wanted.
        shortest: samples at ``sample_rate`` below which the recording is refused.

    Raises:
        RecordingError: with the fault that keeps the recording out.
        SourceError: ffmpeg was stopped by somebody else.
    """
    return decode_parts([data], sample_rate, shortest)


def decode_parts(parts: Iterable[bytes], sample_rate: int, shortest: int = 1) -> Decoded:
    """Decode the files of one recording and join them.

    Every part is decoded and resampled for itself. Length, silence and level are judged on the whole; what is wrong
    with one part is wrong with the whole.

    Args:
        parts: the files in their order, taken one at a time.
        sample_rate: Hz wanted.
        shortest: samples below which the whole is refused.

    Raises:
        RecordingError: with the first fault.
        SourceError: ffmpeg was stopped by somebody else.
    """
    blocks: list[Pcm] = []
    frames = clipped = 0
    decoders: dict[str, None] = {}
    for data in parts:
        with open_recording(data) as opened:
            decoders[opened.decoder] = None
            for samples in resampled(opened, sample_rate):
                pcm, beyond = quantise(samples)
                blocks.append(pcm)
                frames += len(pcm)
                clipped += beyond
                if frames > LONGEST_SAMPLES:
                    raise RecordingError(Fault.TOO_LONG)
    if frames < shortest:
        raise RecordingError(Fault.TOO_SHORT)
    whole = np.concatenate(blocks)
    peak = max(int(whole.max()), -int(whole.min()))
    if peak == 0:
        raise RecordingError(Fault.SILENT)
    return Decoded(whole, peak, clipped, ", ".join(filter(None, decoders)))


def quantise(samples: Mono) -> tuple[Pcm, int]:
    """float32 in [-1, 1) to int16, and how many samples had to be clipped. ``samples`` is scratch space afterwards."""
    if not len(samples):
        return np.empty(0, np.int16), 0
    # x = n / 32768 is exact in float32 for every int16 n, so 16-bit sources come back to the bit.
    with np.errstate(over="ignore"):
        scaled = np.rint(np.multiply(samples, np.float32(FULL_SCALE), out=samples), out=samples)
    clipped = 0
    if not (scaled.min() >= -FULL_SCALE and scaled.max() < FULL_SCALE):  # not so for NaN either
        if np.isnan(scaled).any():  # the resampler's sums left float32
            raise RecordingError(Fault.NOT_FINITE)
        clipped = int(np.count_nonzero((scaled < -FULL_SCALE) | (scaled >= FULL_SCALE)))
        np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int16), clipped


def resampled(opened: Opened, sample_rate: int) -> Iterator[Mono]:
    """Blocks of mono samples at ``sample_rate``, each to be used before the next; the same samples for any block."""
    if opened.sample_rate == sample_rate:
        yield from _mono(opened)
        return
    resampler = soxr.ResampleStream(opened.sample_rate, sample_rate, 1, dtype="float32", quality=QUALITY)
    for block in _mono(opened):
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _mono(opened: Opened) -> Iterator[Mono]:
    """Blocks of the mean of all channels, in memory that the next block overwrites."""
    means = np.empty(BLOCK_FRAMES, np.float32)
    for block in opened.blocks(BLOCK_FRAMES):
        mono = _mean(block, means[: len(block)])
        if not np.isfinite(mono).all():
            raise RecordingError(Fault.NOT_FINITE)
        yield mono


def _mean(block: npt.NDArray[np.float32], out: Mono) -> Mono:
    """The mean of the channels of ``[frames, channels]``, mostly in ``out``."""
    channels = block.shape[1]
    if channels == 1:
        return block[:, 0]
    # Column after column: three times as fast as block.mean(axis=1), which strides over short rows.
    with np.errstate(over="ignore", invalid="ignore"):
        np.add(block[:, 0], block[:, 1], out=out)
        for channel in range(2, channels):
            np.add(out, block[:, channel], out=out)
        return np.divide(out, np.float32(channels), out=out)
