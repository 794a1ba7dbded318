"""The same bytes for any number of jobs, and after every kind of interruption."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from clmr.errors import ConfigError
from sharding.build import build
from sharding.format import read_manifest
from sharding.plan import BuildSettings

Sharder = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--shard-size", "5MiB", "--sample-rate", 16000)


def contents(root: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, by hash."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def long_corpus(
    tmp_path_factory: pytest.TempPathFactory,
    music: Callable[..., npt.NDArray[np.float64]],
    write: Callable[..., Path],
) -> Path:
    """Enough to be interrupted in the middle: 60 files of half a minute, all with the same content."""
    root = tmp_path_factory.mktemp("long corpus")
    one = write(root / "00.mp3", music(30.0, 44100, 2), 44100)
    for number in range(1, 60):
        shutil.copy(one, root / f"{number:02d}.mp3")
    return root


@pytest.fixture(scope="module")
def uninterrupted(long_corpus: Path, tmp_path_factory: pytest.TempPathFactory, sharder: Sharder) -> dict[str, str]:
    """What a build of it in one go, with one job, leaves."""
    root = tmp_path_factory.mktemp("uninterrupted")
    assert sharder("build", "folder", "--source", long_corpus, "--out", root, "--jobs", 1, *SMALL).returncode == 0
    return contents(root)


def start(source: Path, root: Path, jobs: int) -> subprocess.Popen[str]:
    """A build in a process group of its own, as in a terminal, running until its third shard is finished."""
    options = ["--source", source, "--out", root, "--jobs", jobs, *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "sharding", "build", "folder", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(root.glob("*/*.parquet"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [pid for pid in map(int, children) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def check_no_lies(root: Path, whole: dict[str, str]) -> None:
    """What stands under a final name is final, and the build does not claim to be finished."""
    left = contents(root)
    assert {name: left[name] for name in left if not name.endswith(".part")}.items() <= whole.items()
    assert "manifest.json" not in left
    assert "index.parquet" not in left


def finish(source: Path, root: Path, sharder: Sharder, whole: dict[str, str], jobs: int = 2) -> str:
    done = sharder("build", "folder", "--source", source, "--out", root, "--jobs", jobs, *SMALL)
    assert done.returncode == 0, done.stderr
    assert contents(root) == whole
    return done.stdout


def test_jobs_do_not_show(long_corpus: Path, uninterrupted: dict[str, str], tmp_path: Path, sharder: Sharder) -> None:
    finish(long_corpus, tmp_path, sharder, uninterrupted)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tar")}
    assert f"kept {len(times)} finished shards" in finish(long_corpus, tmp_path, sharder, uninterrupted)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tar")} == times


def is_running(pid: int) -> bool:
    """False also for a process that is dead and waits to be reaped: it has no command line any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_kill_9_of_the_build(
    long_corpus: Path, uninterrupted: dict[str, str], tmp_path: Path, sharder: Sharder
) -> None:
    process = start(long_corpus, tmp_path, jobs=2)
    workers = workers_of(process)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in workers):  # no worker outlives the build
        assert time.monotonic() < deadline
        time.sleep(0.05)
    check_no_lies(tmp_path, uninterrupted)
    assert "kept " in finish(long_corpus, tmp_path, sharder, uninterrupted)


def test_kill_9_of_a_worker(long_corpus: Path, uninterrupted: dict[str, str], tmp_path: Path, sharder: Sharder) -> None:
    process = start(long_corpus, tmp_path, jobs=2)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith("error: a worker process was killed")
    assert "Traceback" not in errors
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]
    check_no_lies(tmp_path, uninterrupted)
    finish(long_corpus, tmp_path, sharder, uninterrupted, jobs=1)


def test_ctrl_c(long_corpus: Path, uninterrupted: dict[str, str], tmp_path: Path, sharder: Sharder) -> None:
    process = start(long_corpus, tmp_path, jobs=2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert "Traceback" not in errors
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]
    check_no_lies(tmp_path, uninterrupted)
    finish(long_corpus, tmp_path, sharder, uninterrupted)


def test_unfinished_files_of_dead_processes_are_removed(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    host = socket.gethostname()
    stale = tmp_path / f"train/.000000.tar.{host}.{ended.pid}.0123abcd.part"
    of_a_living_one = tmp_path / f"train/.000000.tar.{host}.{os.getpid()}.0123abcd.part"
    of_another_host = tmp_path / f"train/.000000.tar.not-{host}.{ended.pid}.0123abcd.part"
    for path in (stale, of_a_living_one, of_another_host):
        path.touch()
    build(corpus, tmp_path, BuildSettings("folder"), jobs=1)
    assert [path.exists() for path in (stale, of_a_living_one, of_another_host)] == [False, True, True]


def test_other_settings_are_refused_by_name(shards: Path, corpus: Path, sharder: Sharder) -> None:
    before = contents(shards)
    for option, value, message in (
        ("--sample-rate", "16000", "sample_rate 22050 (manifest.json), not 16000"),
        ("--seed", "7", "seed 0 (manifest.json), not 7"),
        ("--shard-size", "1MiB", "shard_size 614400 (manifest.json), not 1048576"),
    ):
        options = {"--shard-size": "600KiB", option: value}
        done = sharder(
            "build", "folder", "--source", corpus, "--out", shards, *(x for pair in options.items() for x in pair)
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {shards} holds a build with {message}: give another --out")
    assert contents(shards) == before


def test_another_decoder_is_refused(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(corpus, tmp_path, BuildSettings("folder"), jobs=1)
    (tmp_path / "manifest.json").unlink()  # unfinished: the receipts say it
    monkeypatch.setattr("sharding.build.decoder_versions", lambda: {"decoder": "libsndfile 99"})
    with pytest.raises(
        ConfigError, match=r"a build with decoder libsndfile 1\S+ \(train/000000.parquet\), not libsndfile 99"
    ):
        build(corpus, tmp_path, BuildSettings("folder"), jobs=1)


def test_a_changed_source_is_built_again(corpus: Path, tmp_path: Path) -> None:
    source = shutil.copytree(corpus, tmp_path / "source")
    settings = BuildSettings("folder", shard_size=600 * 2**10)
    first = build(source, tmp_path / "shards", settings, jobs=2)
    labels = (source / "labels.csv").read_text(encoding="utf-8").splitlines()
    (source / "labels.csv").write_text("\n".join(line for line in labels if ",test," not in line), encoding="utf-8")
    again = build(source, tmp_path / "shards", settings, jobs=2)
    assert first.manifest
    assert again.manifest
    assert (first.manifest.attempted, again.manifest.attempted) == (14, 14)
    assert dict(again.manifest.skipped) == {"unlisted": 3}
    assert not list((tmp_path / "shards/test").glob("*.tar"))
    fresh = build(source, tmp_path / "fresh", settings, jobs=1)
    assert contents(tmp_path / "fresh") == contents(tmp_path / "shards")
    assert fresh.manifest == again.manifest == read_manifest(tmp_path / "shards")


@pytest.mark.parametrize("damage", ["receipt", "tar", "idx"])
def test_a_damaged_shard_is_built_again(corpus: Path, shards: Path, tmp_path: Path, damage: str) -> None:
    root = shutil.copytree(shards, tmp_path / "shards")
    whole = contents(root)
    if damage == "receipt":
        (root / "train/000000.parquet").write_bytes(b"PAR1")
    elif damage == "tar":
        os.truncate(root / "train/000000.tar", 1000)
    else:
        (root / "train/000000.idx").unlink()
    build(corpus, root, BuildSettings("folder", shard_size=600 * 2**10), jobs=1)
    assert contents(root) == whole


def test_a_folder_that_cannot_be_made_is_one_line(corpus: Path, sharder: Sharder) -> None:
    done = sharder("build", "folder", "--source", corpus, "--out", "/dev/full/shards")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: Not a directory")
    assert "Traceback" not in done.stderr


def limit_files() -> None:
    """In a new process: a write beyond 100 KB fails, as on a full disk, without the name of the file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_write_that_fails_names_its_file(corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sharding", "build", "folder", "--source", str(corpus), "--out", str(tmp_path)]
    done = subprocess.run(
        [*command, "--jobs", "1"], capture_output=True, text=True, check=False, timeout=60, preexec_fn=limit_files
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: File too large: {tmp_path}/train/000000.tar"


def test_a_recording_replaced_by_one_of_the_same_length_is_noticed(
    tmp_path: Path, music: Callable[..., npt.NDArray[np.float64]], write: Callable[..., Path]
) -> None:
    path = write(tmp_path / "source/a.flac", music(4.0, 22050, 1, 0), 22050)
    first = build(tmp_path / "source", tmp_path / "shards", BuildSettings("folder"), jobs=1)
    before = path.stat().st_size
    write(path, music(4.0, 22050, 1, 1), 22050)
    assert path.stat().st_size != before
    again = build(tmp_path / "source", tmp_path / "shards", BuildSettings("folder"), jobs=1)
    assert again.kept == 0
    assert first.manifest
    assert again.manifest
    assert again.manifest.shards != first.manifest.shards


def test_nothing_names_the_time_or_the_place(shards: Path, corpus: Path) -> None:
    for path in shards.rglob("*"):
        if path.is_file():
            for place in (str(corpus), str(shards), socket.gethostname() + "."):
                assert place.encode() not in path.read_bytes()


def test_a_worker_starts_without_torch() -> None:
    code = "import sys, sharding.pool, sharding.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_data_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'magnatagatune' is no data set; one of folder, demo"):
        build(tmp_path, tmp_path / "shards", BuildSettings("magnatagatune"), jobs=1)
