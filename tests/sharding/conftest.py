"""Audio to shard: tones and noise, written by soundfile and ffmpeg in every format the sharder reads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

Samples = npt.NDArray[np.float64]
Music = Callable[..., Samples]
Sharder = Callable[..., subprocess.CompletedProcess[str]]

CODECS = {  # extension -> soundfile's format and subtype, rate in Hz
    "wav": ("WAV", "PCM_16", 44100),
    "aiff": ("AIFF", "PCM_16", 44100),
    "au": ("AU", "PCM_16", 44100),
    "flac": ("FLAC", "PCM_16", 44100),
    "mp3": ("MP3", "MPEG_LAYER_III", 44100),
    "ogg": ("OGG", "VORBIS", 44100),
    "opus": ("OGG", "OPUS", 48000),
}


def make_music(seconds: float = 4.0, rate: int = 44100, channels: int = 2, seed: int = 0) -> Samples:
    """Partials below 6 kHz and a little noise, float64 ``[frames, channels]``, peak about 0.7."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    music = np.zeros((len(time), channels))
    for channel in range(channels):
        for frequency in random.uniform(100, 6000, 6):
            music[:, channel] += 0.1 * np.sin(2 * np.pi * (frequency * time + random.uniform()))
        music[:, channel] += 0.001 * random.standard_normal(len(time))
    return music


def write_audio(path: Path, music: Samples, rate: int) -> Path:
    """Write a file in the format of its extension."""
    form, subtype, _ = CODECS[path.suffix[1:].lower()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, music.shape[1], subtype, format=form) as file:
        for start in range(0, len(music), 1 << 16):  # the Vorbis encoder keeps a write on its stack
            file.write(music[start : start + (1 << 16)])
    return path


@pytest.fixture(scope="session")
def music() -> Music:
    return make_music


@pytest.fixture(scope="session")
def write() -> Callable[[Path, Samples, int], Path]:
    return write_audio


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 4 s of stereo in every format, by extension."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        extension: write_audio(folder / f"clip.{extension}", make_music(rate=rate), rate)
        for extension, (_, _, rate) in CODECS.items()
    }


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled folder of 12 songs in 14 recordings."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = ["path,tags,split,song_id"]
    for number in range(14):
        extension = list(CODECS)[number % len(CODECS)]
        rate, channels = CODECS[extension][2], 1 + number % 2
        name = f"disc {number % 2}/Träck.{number:02d} #1.{extension}"
        write_audio(folder / name, make_music(4.0 + number / 10, rate, channels, number), rate)
        split = "train" if number < 8 else "valid" if number < 11 else "test"
        tags = ";".join(["fast", "drums", "piano"][: number % 4])
        song = f"song-{min(number, 11)}" if split == "test" else ""
        lines.append(f'"{name}",{tags},{split},{song}')
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "notes.txt").write_text("not audio")
    return folder


@pytest.fixture(scope="session")
def sharder() -> Sharder:
    """Run ``python -m sharding`` as users do."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sharding", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    return run


@pytest.fixture(scope="session")
def shards(corpus: Path, tmp_path_factory: pytest.TempPathFactory, sharder: Sharder) -> Path:
    """The corpus as shards of about three tracks; not to be changed."""
    root = tmp_path_factory.mktemp("shards") / "corpus"
    done = sharder("build", "folder", "--source", corpus, "--out", root, "--jobs", 2, "--shard-size", "600KiB")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def not_root() -> Iterator[Path]:
    """A folder of somebody whom file modes bind: root, whom they do not, becomes `nobody` for the test."""
    was_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        if was_root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if was_root:
                os.seteuid(0)


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A folder of names that lead to no bytes."""
    (tmp_path / "dangling.wav").symlink_to("nowhere")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    return tmp_path
