"""Files appear whole or not at all, orphans go, and a folder is worked in by one process at a time."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clmr.errors import ConfigError
from sharding.publish import claimed, publish, remove_orphans


def write_and_fail(target: Path, error: Exception) -> None:
    with publish(target) as path:
        path.write_text("half")
        raise error


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        write_and_fail(target, RuntimeError())
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="file") as caught:
        write_and_fail(tmp_path / "file", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert caught.value.filename == str(tmp_path / "file")


def part_of(folder: Path, process: int, host: str = socket.gethostname()) -> Path:
    path = folder / f".000000.tar.{host}.{process}.0123abcd.part"
    path.touch()
    return path


def test_only_the_dead_processes_parts_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    waiting = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert waiting.stdout is not None
    waiting.stdout.read()  # its end of the pipe is closed: it is over, but nobody has reaped it
    os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT)
    kept = [part_of(tmp_path, os.getpid()), part_of(tmp_path, ended.pid, "elsewhere"), tmp_path / ".mine.part"]
    kept[-1].touch()
    gone = [part_of(tmp_path, ended.pid), part_of(tmp_path, waiting.pid)]
    yesterdays = part_of(tmp_path, ended.pid, "a.node-that-died")
    yesterdays.touch()
    os.utime(yesterdays, (0, time.time() - 2 * 86400))
    gone.append(yesterdays)
    remove_orphans(tmp_path)
    waiting.communicate()
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in gone)


def test_a_claim_excludes_others_and_leaves_no_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with claimed(folder), pytest.raises(ConfigError, match="another process is working in"), claimed(folder):
        pass
    assert not folder.exists()
    with claimed(folder):
        (folder / "result").touch()
    assert (folder / "result").exists()
