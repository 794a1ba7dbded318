"""Recordings as bytes, and the fault that keeps one out."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from sharding.decode import decode
from sharding.faults import Fault, RecordingError


def fault_of(data: bytes, rate: int = 22050, shortest: int = 1) -> Fault:
    """Why ``data`` is refused."""
    with pytest.raises(RecordingError) as caught:
        decode(data, rate, shortest)
    return caught.value.fault


def wav(samples: npt.ArrayLike, rate: int = 22050, subtype: str = "PCM_16", form: str = "WAV") -> bytes:
    """A file of these samples."""
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples), rate, subtype, format=form)
    return file.getvalue()


def ffmpeg(source: Path, target: Path, *options: str) -> bytes:
    """What ffmpeg makes of ``source``."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, timeout=60)
    return target.read_bytes()


def ffmpeg_decodes(path: Path, channels: int = 2) -> npt.NDArray[np.float32]:
    """The samples of a file as ffmpeg decodes them, ``[frames, channels]``."""
    command = ["ffmpeg", "-nostdin", "-v", "quiet", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, channels)
