"""Where a run cannot go on, it says why in one line on every rank, and keeps the steps it has done."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clmr.errors import ConfigError
from tests.train.launching import ROOT, SMALL, environment, newest, program, run
from train.ranks.first_failure import described
from train.ranks.launch import placed
from train.runs.log import read_log


class Ended:
    """How the ranks of the scenarios in forked_ranks.py ended, and what they printed."""

    def __init__(self, folder: Path, shards: Path) -> None:
        done = run([sys.executable, "-m", "tests.train.forked_ranks", str(folder), str(shards)])
        assert done.returncode == 0, done.stderr
        self.statuses = {line.split()[0]: [int(each) for each in line.split()[1:]] for line in done.stdout.splitlines()}
        self.folder = folder

    def said(self, name: str, rank: int) -> list[str]:
        """The lines of a rank, but for those of torch's own log."""
        lines = (self.folder / f"{name}-{rank}.txt").read_text().splitlines()
        return [line for line in lines if line.startswith("error:") or "escaped" in line or "Traceback" in line]


@pytest.fixture(scope="module")
def ended(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
        context.chdir(ROOT)
        return Ended(tmp_path_factory.mktemp("ranks"), shards)


HOST = re.escape(socket.gethostname())
MISSING = r"\S*/nowhere/manifest\.json is missing: .*"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_killed_rank(ended: Ended, number: int) -> None:
    """Rank 0 among them, whose process holds the store in which messages are left."""
    assert ended.statuses[f"killed-{number}"] == [-9 if rank == number else 1 for rank in range(3)]
    for rank in {0, 1, 2} - {number}:
        (line,) = ended.said(f"killed-{number}", rank)
        assert line.startswith("error: another process of this run ended without a word (killed, ")


@pytest.mark.parametrize(
    ("name", "failing", "own", "message"),
    [
        ("raised", 1, "error: this is wrong in two lines", "this is wrong in two lines"),
        ("unexpected", 2, "ValueError escaped", r"ValueError: refused \*\*\*"),
        ("stuck", 2, "error: before the others noticed", "before the others noticed"),
        ("without_shards", 1, f"error: {MISSING}", MISSING),
    ],
)
def test_the_first_failure_is_every_ranks(ended: Ended, name: str, failing: int, own: str, message: str) -> None:
    assert ended.statuses[name] == [1, 1, 1]
    (line,) = ended.said(name, failing)
    assert re.fullmatch(own, line)
    for rank in {0, 1, 2} - {failing}:
        (line,) = ended.said(name, rank)
        assert re.fullmatch(f"error: rank {failing} on host {HOST} failed: {message}", line)


def test_a_rank_that_falls_silent(ended: Ended) -> None:
    assert ended.statuses["silent"] == [1, -9, 1]
    for rank in (0, 2):
        (line,) = ended.said("silent", rank)
        assert re.fullmatch(f"error: rank 1 on host {HOST} failed: nothing was heard of it for .*", line)


def test_an_error_that_all_ranks_raise(ended: Ended) -> None:
    assert ended.statuses["first"] == [1, 1, 1]
    lines = [line for rank in range(3) for line in ended.said("first", rank)]
    assert len(lines) == 3
    assert all(line.endswith("no such run") for line in lines)


@pytest.mark.parametrize("name", ["well", "lingering"])
def test_ranks_that_end_well_say_nothing(ended: Ended, name: str) -> None:
    assert ended.statuses[name] == [0, 0, 0]
    lines = [line for rank in range(3) for line in (ended.folder / f"{name}-{rank}.txt").read_text().splitlines()]
    # torch has a warning where the system cannot name a peer's address, which depends on the machine.
    assert [line for line in lines if not re.match(r"\[W.*\[c10d\] The hostname of the client socket", line)] == []


def test_secrets_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=hush\nhush")
    error = OSError(5, "no AccountKey=hush hush for https://me:hush@there/x")
    assert described(error) == "no *** for https://***@there/x"


def test_a_run_without_torchrun_says_how_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match=r"the 2 processes .* MASTER_ADDR .* start them with torchrun"), placed("cpu"):
        raise AssertionError


def test_a_batch_that_does_not_divide_is_refused(ended: Ended) -> None:
    assert ended.statuses["uneven"] == [1, 1, 1]
    lines = [line for rank in range(3) for line in ended.said("uneven", rank)]
    assert len(lines) == 3
    assert all(line.endswith("size 8 does not divide into 3 ranks: use a multiple of 3") for line in lines)


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
    options += ["--augment", "crop", "--no-ceilings"]
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
