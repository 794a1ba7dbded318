"""Music to measure decoders with: the demo's songs as 30 s clips, in the formats of the data sets."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from sharding.synth.render import render
from sharding.synth.score import draw_score

SECONDS = 30
RATE = 44100  # Hz


@dataclass(frozen=True)
class Kind:
    """A format, as ffmpeg writes it from stereo at 44.1 kHz."""

    name: str
    suffix: str
    options: tuple[str, ...]


PREVIEW = Kind("MP3, stereo, 44.1 kHz, 128 kbit/s", ".mp3", ("-b:a", "128k"))
MTAT = Kind("MP3, mono, 16 kHz, 32 kbit/s", ".mp3", ("-b:a", "32k", "-ar", "16000", "-ac", "1"))
KINDS = (
    PREVIEW,
    MTAT,
    Kind("MP3, stereo, 22.05 kHz, 64 kbit/s", ".mp3", ("-b:a", "64k", "-ar", "22050")),
    Kind("MP3, stereo, 44.1 kHz, 320 kbit/s", ".mp3", ("-b:a", "320k")),
    Kind("FLAC, stereo, 44.1 kHz", ".flac", ()),
    Kind("AAC in m4a, stereo, 44.1 kHz, 128 kbit/s", ".m4a", ("-b:a", "128k")),
)


def write_clip(path: Path, kind: Kind, song: int) -> Path:
    """One clip of a song, repeated where it is shorter."""
    pcm = render(draw_score(0, song), RATE, 2)
    wav = path.with_suffix(".wav")
    soundfile.write(wav, np.resize(pcm, (SECONDS * RATE, 2)), RATE, subtype="PCM_16")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(wav), *kind.options, str(path)]
    subprocess.run(command, check=True)
    wav.unlink()
    return path


def write_corpus(folder: Path, kind: Kind, clips: int, songs: int) -> list[Path]:
    """A folder of clips, each in a file of its own; of several that play the same song the bytes are the same."""
    folder.mkdir()
    paths = [folder / f"{number:05d}{kind.suffix}" for number in range(clips)]
    for number, path in enumerate(paths):
        if number < songs:
            write_clip(path, kind, number)
        else:
            shutil.copyfile(paths[number % songs], path)
    return paths
