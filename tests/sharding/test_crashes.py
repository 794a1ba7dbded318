"""A recording on which the decoder crashes: found, left out, counted, and the rest of the build goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sharding.verify import verify

Sharder = Callable[..., subprocess.CompletedProcess[str]]

# What a bug in a C library looks like from outside: every process that opens a file with these bytes gets a SIGSEGV.
POISON = """
import os, signal, soundfile
opened = soundfile.SoundFile.__init__
def crash(self, file, *args, **options):
    if hasattr(file, "getvalue") and b"POISON" in file.getvalue():
        os.kill(os.getpid(), signal.SIGSEGV)
    opened(self, file, *args, **options)
soundfile.SoundFile.__init__ = crash
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_two_poisoned_files_cost_two_tracks(
    corpus: Path, tmp_path: Path, sharder: Sharder, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    source = shutil.copytree(corpus, tmp_path / "source")
    poisoned = sorted(source.glob("disc */*.wav"))[:2]
    for path in poisoned:
        path.write_bytes(path.read_bytes() + b"POISON")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{Path(sys.modules['sharding'].__path__[0]).parent}")
    options = ("--source", source, "--out", tmp_path / "shards", "--jobs", jobs, "--shard-size", "600KiB")
    done = sharder("build", "folder", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("written 12 of 14 tracks")
    assert "crashing 2" in done.stdout
    assert "Traceback" not in done.stderr
    verify(tmp_path / "shards")
    again = sharder("build", "folder", *options)
    assert "kept " in again.stdout
    assert "crashing 2" in again.stdout
    retried = sharder("build", "folder", *options, "--retry-failed")
    assert "crashing 2" in retried.stdout
    monkeypatch.delenv("PYTHONPATH")
    mended = sharder("build", "folder", *options, "--retry-failed")
    assert mended.stdout.startswith("written 14 of 14 tracks")
    verify(tmp_path / "shards")
