"""Where a run cannot go on, it says why in one line on every rank, and keeps the steps it has done."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from clmr.errors import ConfigError
from tests.train.launching import LAUNCHER, ROOT, SMALL, environment, newest, program, run
from train.launch import placed
from train.runlog import read_log


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


def test_storage_that_fails_costs_no_finished_step(shards: Path, tmp_path: Path) -> None:
    """A shard that is cut while the run reads it ends the run; the steps before are in a checkpoint."""
    copy = tmp_path / "shards"
    shutil.copytree(shards, copy)
    options = ["--shards", str(copy), "--run", str(tmp_path / "run"), *SMALL, "--steps", "100000", "--depth", "1"]
    command = program("pretrain.py", options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    while len(read_log(tmp_path / "run")) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    for shard in (copy / "train").glob("*.tar"):
        os.truncate(shard, 600)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "it was cut while in use" in errors
    assert "Traceback" not in errors
    assert newest(tmp_path / "run")["step"] >= read_log(tmp_path / "run")[-1]["step"]
