"""Shards for the loader's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.loaders.small_shards import Recording, recordings, write_shards


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """40 training tracks of 20 songs in 6 shards, with a skipped row before them and a test split."""
    tracks = recordings(40, per_song=2)
    tracks.insert(5, Recording("train-broken", "broken", np.zeros(0, np.int16), reason="decode"))
    return write_shards(tmp_path / "shards", tracks + recordings(9, split="test"))


@pytest.fixture
def make_shards(tmp_path: Path) -> Callable[..., Path]:
    """Writes shards into a fresh folder, with the options of ``write_shards``."""
    numbers = iter(range(1000))

    def make(tracks: Sequence[Recording], **options: Any) -> Path:
        return write_shards(tmp_path / f"made-{next(numbers)}", tracks, **options)

    return make
