"""Real shards of a few labelled tracks, made by the real sharder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sharding.__main__ import cli as sharding_cli

RATE = 8000


def _tone_song(rng: np.random.Generator, seconds: float, pitch: float, pulse: float) -> np.ndarray[Any, Any]:
    """A harmonic tone pulsing at ``pulse`` Hz over some noise: enough for labels that can be learnt."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in (1, 2, 3)) * (0.6 + 0.4 * np.sin(2 * np.pi * pulse * t))
    return np.asarray(0.15 * tone + 0.01 * rng.standard_normal(len(t)), dtype=np.float64)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 train, 8 valid and 12 test tracks of 3 to 9 s at 8 kHz, with tags ``high`` and ``pulse``."""
    source, out = tmp_path_factory.mktemp("music"), tmp_path_factory.mktemp("shards") / "tones"
    rng = np.random.default_rng(7)
    rows = ["path,tags,split,song_id"]
    for number in range(44):
        split = "train" if number < 24 else "valid" if number < 32 else "test"
        high, pulse = number % 2, number // 2 % 2
        song = _tone_song(
            rng, rng.uniform(3, 9), rng.uniform(700, 900) if high else rng.uniform(150, 250), 1 + 5 * pulse
        )
        soundfile.write(source / f"{number}.wav", song, RATE, subtype="PCM_16")
        tags = ";".join(["high"] * high + ["pulse"] * pulse)
        rows.append(f"{number}.wav,{tags},{split},song-{number}")
    (source / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    arguments = ["build", "folder", "--source", str(source), "--out", str(out), "--jobs", "1"]
    sharding_cli.main([*arguments, "--sample-rate", str(RATE), "--shard-size", "1MiB"], standalone_mode=False)
    return out
