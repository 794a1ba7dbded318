"""What is listened to: the beginning of a recording, mixed to mono, at the rate of the paper's encoder."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clmr.augment.listen.song import make_song
from clmr.errors import ConfigError, SourceError

SAMPLE_RATE = 22050
SHORTEST_SECONDS = 0.5
SILENCE = 1e-5  # -100 dB against full scale: nothing to hear, and nothing above the pictures' floor
HIGHEST_PEAK = 100.0  # of a file of floats: beyond it, and where it is not a number, its scale is another one


@dataclass(frozen=True, eq=False)
class Recording:
    """A piece of sound and where it comes from."""

    name: str
    """The file's name, or what the made-up music is called."""
    audio: Tensor
    """float32, shape ``[1, 1, T]``, mono at ``SAMPLE_RATE``."""
    begin: float
    """Second of the file at which it begins."""
    left_out: bool
    """Whether the file goes on after it."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.audio.shape[2] / SAMPLE_RATE


def made_up() -> Recording:
    """The music that is made here."""
    return Recording("six seconds of made-up music", make_song(SAMPLE_RATE), begin=0.0, left_out=False)


def read_recording(path: Path, begin: float, longest: float) -> Recording:
    """At most ``longest`` seconds of a file, from second ``begin`` on.

    Args:
        path: any format that libsndfile reads, at any rate, with any number of channels: their mean is taken.
        begin: seconds, >= 0.
        longest: seconds, > 0.

    Raises:
        SourceError: the file is no sound, damaged, too short or silent.
        ConfigError: it ends before ``begin``.
        OSError: it is missing or may not be read.
    """
    import soundfile
    import soxr

    with path.open("rb") as file, _quiet_libraries():
        if not os.fstat(file.fileno()).st_size:
            raise SourceError(f"{path} is empty (0 bytes); give a recording")
        try:
            with soundfile.SoundFile(file) as sound:
                rate = sound.samplerate
                if begin and not begin * rate < sound.frames:  # so that nan is refused, too
                    raise ConfigError(
                        f"--start {begin:g} lies beyond the end of {path}, which lasts {sound.frames / rate:.3g} s"
                    )
                if begin:
                    sound.seek(round(begin * rate))
                frames = round(longest * rate)
                samples = sound.read(frames, dtype="float32", always_2d=True)
                left_out = len(sound.read(1)) > 0
        except soundfile.LibsndfileError as error:
            raise SourceError(
                f"{path} cannot be read as sound ({error.error_string.strip(' .')}); "
                f"if it is one, `ffmpeg -i {shlex.quote(str(path))} sound.wav` makes a file that can"
            ) from error
    _refuse_unusable(path, samples, rate, begin)
    mono = samples.mean(axis=1, dtype=np.float64)
    try:
        mono = np.ascontiguousarray(soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ"))
    except (RuntimeError, ValueError) as error:
        raise SourceError(f"{path} says it has {rate} samples a second, which cannot be resampled: {error}") from error
    if np.abs(mono).max(initial=0) < SILENCE:
        raise SourceError(f"{path} is silent (mono mix, {len(samples) / rate:.3g} s from {begin:g} s on): try --start")
    audio = torch.from_numpy(mono).float().view(1, 1, -1)
    return Recording(path.name, audio, begin=begin, left_out=left_out)


def _refuse_unusable(
    path: Path, samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]], rate: int, begin: float
) -> None:
    if len(samples) < SHORTEST_SECONDS * rate:
        count = f"{len(samples)} sample{'' if len(samples) == 1 else 's'}"
        count += f" from {begin:g} s on" if begin else ""
        seconds = f"{len(samples) / rate:.2g} s"
        raise SourceError(f"{path} is too short: {count} ({seconds}), at least {SHORTEST_SECONDS} s are needed")
    peak = np.abs(samples).max()
    if not peak <= HIGHEST_PEAK:
        raise SourceError(f"{path} has samples as high as {peak:g}, where full scale is 1; write it anew at that scale")


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Libmpg123 comments on damaged files on descriptor 2; what is wrong is said once, by the error."""
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w", buffering=1) as way_out, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            with redirect_stderr(way_out):
                yield
        finally:
            os.dup2(way_out.fileno(), 2)
