"""A folder of recordings in every format, with others that cannot be used, and the weights of a small encoder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import clmr

RATE = 8000


def music(seconds: float, rate: int, seed: int) -> np.ndarray[Any, Any]:
    """Two channels of partials and noise, float64 ``[frames, 2]``."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate))[:, None] / rate
    tones = sum(0.1 * np.sin(2 * np.pi * random.uniform(80, 3000, 2) * time) for _ in range(4))
    return np.asarray(tones + 0.02 * random.standard_normal((len(time), 2)))


def encoded(source: Path, target: Path) -> None:
    """What ffmpeg makes of a file, in the format of the target's name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(source), "-strict", "experimental", str(target)]
    subprocess.run(command, check=True, timeout=60)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven recordings of 9 s, the last two the same by all but their names, and six files of no use."""
    root = tmp_path_factory.mktemp("audio") / "my music"
    root.mkdir()
    soundfile.write(root / "a.wav", music(9, 44100, 0), 44100, subtype="PCM_16")
    for name in ("Ünïcode 名/b.mp3", "disc 1/söng.ogg", "disc 1/söng.flac", "disc 2/song.m4a"):
        encoded(root / "a.wav", root / name)
    for name in ("disc 2/söng.wav", "disc 3/söng.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        soundfile.write(root / name, music(9, RATE, 1), RATE, subtype="PCM_16")
    whole = (root / "disc 1" / "söng.flac").read_bytes()
    (root / "broken.flac").write_bytes(whole[: len(whole) * 3 // 4])
    (root / "empty.mp3").touch()
    (root / "no audio.mp3").write_text("a list of what I like", encoding="utf-8")
    (root / "nowhere.mp3").symlink_to("gone.mp3")
    soundfile.write(root / "short.wav", music(2, RATE, 2), RATE, subtype="PCM_16")
    soundfile.write(root / "silent.wav", np.zeros(9 * RATE), RATE, subtype="PCM_16")
    (root / "cover.jpg").write_bytes(b"\xff\xd8")
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder for 8 kHz with 16 features, and normalisation that is no identity."""
    torch.manual_seed(3)
    encoder = clmr.SampleCNN(sample_rate=RATE, width=16)
    encoder.train()
    with torch.no_grad():
        for _ in range(3):
            encoder(0.2 * torch.randn(4, 1, encoder.crop_frames))
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    clmr.export_safetensors(encoder.eval(), path)
    return path
