"""A job array: tasks of one build, in any order, at once, killed and started again, give what one process gives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clmr.errors import ConfigError
from sharding.build import Share, build
from sharding.plan import BuildSettings
from sharding.publish import claimed
from tests.sharding.test_build import contents

Sharder = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = BuildSettings("folder", shard_size=600 * 2**10)


def without_locks(root: Path) -> dict[str, str]:
    return {name: digest for name, digest in contents(root).items() if not name.startswith(".lock")}


def test_tasks_one_after_the_other(corpus: Path, shards: Path, tmp_path: Path) -> None:
    for number, index in enumerate((2, 0, 1)):
        report = build(corpus, tmp_path, SETTINGS, jobs=1, share=Share(index, 3))
        assert (report.manifest is None) == ("left to other tasks" in report.summary()) == (number < 2)
        assert (tmp_path / "manifest.json").exists() == (number == 2)
    assert without_locks(tmp_path) == without_locks(shards)


def test_tasks_at_once(corpus: Path, shards: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sharding", "build", "folder", "--source", str(corpus), "--out", str(tmp_path)]
    options = ["--jobs", "1", "--shard-size", "600KiB", "--task-count", "3"]
    tasks = [
        subprocess.Popen(
            [*command, *options, "--task-index", str(index)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for index in range(3)
    ]
    tasks[1].kill()
    outputs = [task.communicate(timeout=100) for task in tasks]
    assert [task.returncode for task in tasks] == [0, -9, 0], outputs
    assert not (tmp_path / "manifest.json").exists()
    done = subprocess.run([*command, *options, "--task-index", "1"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("written 14 of 14 tracks")
    assert without_locks(tmp_path) == without_locks(shards)


def test_a_task_does_not_run_twice_at_once_nor_beside_a_whole_build(corpus: Path, tmp_path: Path) -> None:
    with claimed(tmp_path, "0-of-2"), pytest.raises(ConfigError, match="another process is working in"):
        build(corpus, tmp_path, SETTINGS, jobs=1, share=Share(0, 2))
    with claimed(tmp_path, "0-of-2"), pytest.raises(ConfigError, match="another process is working in"):
        build(corpus, tmp_path, SETTINGS, jobs=1)
    with claimed(tmp_path, "0-of-2"):
        assert build(corpus, tmp_path, SETTINGS, jobs=1, share=Share(1, 2)).manifest is None


def test_wrong_shares(corpus: Path, tmp_path: Path, sharder: Sharder) -> None:
    for options, message in (
        (("--task-index", 3, "--task-count", 3), "error: task 3 of 3: tasks count from 0 to 2"),
        (("--task-index", 0), "error: --task-index and --task-count go together"),
    ):
        done = sharder("build", "folder", "--source", corpus, "--out", tmp_path / "shards", *options)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(message)
    assert not (tmp_path / "shards").exists()
