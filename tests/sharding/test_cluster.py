"""Shards by a real Dask scheduler and two real worker processes, one of which is killed in the middle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sharding
from tests.sharding.test_build import SMALL, contents, long_corpus, uninterrupted

__all__ = ["long_corpus", "uninterrupted"]


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        log = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.address = self._wait(log, r"Scheduler at:\s+(tcp://[0-9.:]+)")

    def add_worker(self, *prefix: str) -> subprocess.Popen[str]:
        """One process of one thread, without a nanny that would start it again, run by the command ``prefix``."""
        options = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        self._wait(self._start("worker", self.address, *options, prefix=prefix), "Registered to")
        return self.processes[-1]

    def _start(self, role: str, *options: str, prefix: tuple[str, ...] = ()) -> Path:
        log = self.folder / f"{role}-{len(self.processes)}.log"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        if role == "worker":
            command = [sys.executable, "-m", "distributed.cli.dask_worker", "--local-directory", str(self.folder)]
        with log.open("w") as file:
            self.processes.append(
                subprocess.Popen(
                    [*prefix, *command, *options], stdout=file, stderr=subprocess.STDOUT, text=True, cwd=self.folder
                )
            )
        return log

    def _wait(self, log: Path, pattern: str) -> str:
        deadline = time.monotonic() + 60
        while not (match := re.search(pattern, log.read_text())):
            assert self.processes[-1].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        return match[match.lastindex or 0]

    def stop(self) -> None:
        """End all of it."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    running = Cluster(tmp_path / "cluster")
    try:
        yield running
    finally:
        running.stop()


def start(cluster: Cluster, source: Path, root: Path) -> subprocess.Popen[str]:
    options = ["--source", source, "--out", root, "--scheduler", cluster.address, *SMALL]
    return subprocess.Popen(
        [sys.executable, "-m", "sharding", "build", "folder", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_receipts(process: subprocess.Popen[str], root: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(root.glob("*/*.parquet"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_workers_one_killed(
    cluster: Cluster, long_corpus: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    first, _ = cluster.add_worker(), cluster.add_worker()
    process = start(cluster, long_corpus, tmp_path / "shards")
    wait_for_receipts(process, tmp_path / "shards", 3)
    first.send_signal(signal.SIGKILL)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.startswith("written 60 of 60 tracks")
    assert contents(tmp_path / "shards") == uninterrupted


def test_ctrl_c_and_going_on_without_the_cluster(
    cluster: Cluster, long_corpus: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    cluster.add_worker()
    root = tmp_path / "shards"
    process = start(cluster, long_corpus, root)
    wait_for_receipts(process, root, 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not (root / "manifest.json").exists()
    cluster.stop()
    options = ["--source", long_corpus, "--out", root, *SMALL]
    done = subprocess.run(
        [sys.executable, "-m", "sharding", "build", "folder", *map(str, options)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "kept " in done.stdout
    assert contents(root) == uninterrupted


def test_no_scheduler_there_is_one_line(corpus: Path, tmp_path: Path) -> None:
    options = ["--source", str(corpus), "--out", str(tmp_path / "shards"), "--scheduler", "tcp://127.0.0.1:9"]
    done = subprocess.run(
        [sys.executable, "-m", "sharding", "build", "folder", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no Dask scheduler answers at tcp://127.0.0.1:9")
    assert "Traceback" not in done.stderr


def build_in(folder: Path, cluster: Cluster, *options: object) -> subprocess.CompletedProcess[str]:
    """A build started in a folder, for paths relative to it."""
    return subprocess.run(
        [sys.executable, "-m", "sharding", "build", "folder", "--scheduler", cluster.address, *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(sharding.__path__[0]).parent)},
        timeout=100,
    )


def test_relative_paths_are_those_of_the_command(cluster: Cluster, corpus: Path, shards: Path, tmp_path: Path) -> None:
    cluster.add_worker()  # in a folder of its own
    (tmp_path / "source").symlink_to(corpus)
    done = build_in(tmp_path, cluster, "--source", "source", "--out", "shards", "--shard-size", "600KiB")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "shards") == contents(shards)


@pytest.mark.needs("right:tmpfs")
def test_a_worker_that_does_not_see_the_source_is_no_reason_to_lose_tracks(
    cluster: Cluster, corpus: Path, tmp_path: Path
) -> None:
    cluster.add_worker(
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs none {corpus} && exec "$@"',
        "sh",
    )
    done = build_in(tmp_path, cluster, "--source", corpus, "--out", tmp_path / "shards")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {corpus}/disc ")
    assert "mount the source on all of them under the same path" in last
    assert not list((tmp_path / "shards").rglob("*.parquet"))


def test_a_scheduler_that_dies_is_one_line(cluster: Cluster, long_corpus: Path, tmp_path: Path) -> None:
    cluster.add_worker()
    process = start(cluster, long_corpus, tmp_path / "shards")
    wait_for_receipts(process, tmp_path / "shards", 1)
    cluster.processes[0].kill()
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "error: " in errors.splitlines()[-1]
    assert "run the same command again to go on" in errors.splitlines()[-1]
