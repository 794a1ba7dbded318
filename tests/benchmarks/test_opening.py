"""The benchmark of a large corpus: what it opens is one, and what it measures is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import opening
from benchmarks.report import Spread
from benchmarks.turns import Measured
from loaders import PairLoader
from sharding.format import open_shards
from tests.loaders.realistic_million import PER_SHARD, write_realistic


@pytest.fixture(scope="module")
def realistic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_realistic(tmp_path_factory.mktemp("large"), 3 * PER_SHARD)


GROWTH = """
import json
import numpy as np
from benchmarks.opening import growth
print(json.dumps([growth(lambda: np.ones(8_000_000)), growth(lambda: len(np.ones(8_000_000)))]))
"""


def test_growth_is_seen() -> None:
    """In a process of its own: one that has run long takes from what it has freed."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    grown, gone = json.loads(done.stdout)
    assert 60 < grown["megabytes"] < 80
    assert gone["megabytes"] < 20
    assert 60 < gone["peak"] < 80


def test_opening(realistic: Path) -> None:
    for what in ("PairLoader", "open_shards and tracks"):
        cost = opening.opened(realistic, realistic, what)
        assert cost["seconds"] > 0
    costs = {
        "good": [{"seconds": 1.0, "megabytes": 10.0, "peak": 299.0}],
        "bad": [{"seconds": 1.0, "megabytes": 1.0, "peak": 301.0}],
    }
    good, bad = opening.opening_table(costs).splitlines()[2:]
    assert good == "| good | 1.00 | 10 | 299 | met |"
    assert bad.endswith("| missed |")


def test_folded_tracks_share_their_bytes(tmp_path: Path) -> None:
    root = opening.folded(tmp_path, 3 * PER_SHARD)
    tracks = open_shards(root).tracks(("train",))
    assert len(tracks.frames) > 2 * PER_SHARD
    assert len(set(tracks.pcm_offset.tolist())) == PER_SHARD
    assert [path.name for path in (root / "train").iterdir()] == ["000000.tar"]
    with PairLoader(root, batch_size=4, crop_frames=100) as loader:
        assert sum(1 for _ in loader) == len(loader)
    memory = opening.over_epochs(root, 3, 256, 100)
    assert len(memory) == 3
    assert min(memory) > 50


def test_the_tables_judge() -> None:
    rates = {name: Spread.of([rate]) for name, rate in (("10 tracks", 10.0), ("20 tracks", 9.5), ("30 tracks", 8.0))}
    lines = opening.cost_table(Measured(rates, {}, {}, {})).splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in lines] == ["met", "met", "missed"]
    memory = {"flat": [90.0, 95.0, 99.0, 100.0, 100.0, 101.0, 100.0], "leaks": [100.0 + 3 * n for n in range(9)]}
    flat, leaks = opening.memory_table(memory).splitlines()[2:]
    assert flat == "| flat | 7 | 100 | 100 | +0 | met |"
    assert leaks == "| leaks | 9 | 112 | 124 | +3,000 | missed |"
