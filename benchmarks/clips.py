"""Music to measure decoders with: 30 s clips of changing chords and a little noise, in the formats of the data sets."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SECONDS = 30
RATE = 44100  # Hz


@dataclass(frozen=True)
class Kind:
    """A format, as ffmpeg writes it from stereo at 44.1 kHz."""

    name: str
    suffix: str
    options: tuple[str, ...]


PREVIEW = Kind("MP3, stereo, 44.1 kHz, 128 kbit/s", ".mp3", ("-c:a", "libmp3lame", "-b:a", "128k"))
KINDS = (
    PREVIEW,
    Kind("MP3, mono, 16 kHz, 32 kbit/s", ".mp3", ("-c:a", "libmp3lame", "-b:a", "32k", "-ar", "16000", "-ac", "1")),
    Kind("FLAC, stereo, 44.1 kHz", ".flac", ("-c:a", "flac")),
    Kind("AAC in m4a, stereo, 44.1 kHz, 128 kbit/s", ".m4a", ("-c:a", "aac", "-b:a", "128k")),
)


def write_clip(path: Path, kind: Kind, seed: int) -> Path:
    """One clip."""
    random = np.random.default_rng(seed)
    time = np.arange(SECONDS * RATE) / RATE
    music = 0.01 * random.standard_normal((len(time), 2))
    for _ in range(12):
        beat = np.exp(-4 * (time * random.uniform(0.5, 4) % 1))  # struck, and dying away
        tone = np.sin(2 * np.pi * random.uniform(60, 6000) * time)
        music += 0.1 * np.outer(beat * tone, random.uniform(0, 1, 2))
    wav = path.with_suffix(".wav")
    soundfile.write(wav, np.clip(music, -1, 1), RATE, subtype="PCM_16")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(wav), *kind.options, str(path)]
    subprocess.run(command, check=True)
    wav.unlink()
    return path


def write_corpus(folder: Path, clips: int, distinct: int) -> list[Path]:
    """A folder of previews, every ``distinct``-th the same music in a file of its own."""
    folder.mkdir()
    paths = [folder / f"{number:05d}{PREVIEW.suffix}" for number in range(clips)]
    for number, path in enumerate(paths):
        if number < distinct:
            write_clip(path, PREVIEW, number)
        else:
            shutil.copyfile(paths[number % distinct], path)
    return paths
