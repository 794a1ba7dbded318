"""Where one rank cannot go on, it says why, and the others say so instead of showing a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from clmr.errors import ConfigError
from tests.train.launching import LAUNCHER, ROOT, SMALL, run
from train.launch import placed


def test_a_rank_without_shards(shards: Path, tmp_path: Path) -> None:
    script = [str(ROOT / "tests" / "train" / "unequal_ranks.py"), f"{shards},{tmp_path / 'nowhere'}"]
    options = ["--run", str(tmp_path / "run"), *SMALL, "--steps", "3"]
    logs = ["--standalone", "--nproc-per-node", "2", "--redirects", "3", "--log-dir", str(tmp_path / "logs")]
    done = run([*LAUNCHER, *logs, "--", *script, *options])
    assert done.returncode != 0
    first, second = (next((tmp_path / "logs").glob(f"**/{rank}/stderr.log")).read_text() for rank in (0, 1))
    assert "nowhere/manifest.json is missing" in second
    assert "another process of this run ended; its own message says why" in first
    assert "Traceback" not in first + second


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="of our own making"), placed("cpu", 1):
        raise RuntimeError("of our own making")
    with pytest.raises(ConfigError, match="stays"), placed("cpu", 1):
        raise ConfigError("stays")
