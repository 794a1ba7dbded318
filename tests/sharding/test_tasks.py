"""A job array: tasks of one build, in any order, at once, killed and started again, give what one process gives."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from clmr.errors import ConfigError
from sharding.assemble import assemble
from sharding.build import Share, build
from sharding.datasets.folder import read_folder
from sharding.faults import Fault
from sharding.format import Manifest, open_shards
from sharding.ownership import mark
from sharding.plan import BuildSettings, plan_shards
from sharding.probe import probe
from sharding.publish import claimed, publish
from sharding.receipt import Receipt
from sharding.resume import Sizes, is_complete, read_receipts
from sharding.storage import LocalPlace, Place
from sharding.verify import verify
from sharding.write import ShardJob, write_shard
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


def test_tasks_of_other_settings_are_refused(corpus: Path, tmp_path: Path) -> None:
    """Two that start at once on an empty folder: neither can see the other's settings yet."""
    build(corpus, tmp_path, SETTINGS, jobs=1, share=Share(0, 2))
    other = BuildSettings("folder", sample_rate=16000, shard_size=SETTINGS.shard_size)
    with pytest.raises(ConfigError, match="holds a build with sample_rate 22050"):
        build(corpus, tmp_path, other, jobs=1, share=Share(1, 2))


def test_a_receipt_of_other_settings_is_not_taken_for_ones_own(corpus: Path, shards: Path, tmp_path: Path) -> None:
    root = shutil.copytree(shards, tmp_path / "shards")
    receipts = read_receipts(LocalPlace(root))
    catalog = read_folder("folder", LocalPlace(corpus), 0)
    probes = {recording.key: probe(LocalPlace(corpus), recording.parts[0]) for recording in catalog.recordings}
    planned = plan_shards(catalog.recordings, probes, SETTINGS)
    settings = receipts[planned[0].stem].settings
    sizes = Sizes(LocalPlace(root))
    assert all(is_complete(shard, receipts[shard.stem], settings, sizes) for shard in planned)
    others = {**settings, "decoder": "libsndfile 99"}
    assert not any(is_complete(shard, receipts[shard.stem], others, sizes) for shard in planned)


def test_the_manifest_is_of_the_last_retry(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Task 1 finishes after task 0 has read the receipts, and before it writes the manifest."""

    def here(jobs: Sequence[ShardJob], *_: object) -> None:
        for job in jobs:
            write_shard(job, lambda _: None)

    monkeypatch.setattr("sharding.build.run_jobs", here)
    with monkeypatch.context() as patch:
        patch.setattr("sharding.write.attempt", lambda *_: (Fault.UNREADABLE, None))  # as on a bad night
        build(corpus, tmp_path, SETTINGS, jobs=1)
    assert open_shards(tmp_path).manifest.written == 0
    moments = ["task 0 is about to write"]

    def in_between(
        root: Place, receipts: Sequence[Receipt], labels: tuple[str, ...], settings: Any, software: Any
    ) -> Manifest:
        if moments:
            moments.pop()
            other = build(corpus, tmp_path, SETTINGS, jobs=1, share=Share(1, 2), retry_failed=True).manifest
            assert other is not None
            assert other.written == 14
        return assemble(root, receipts, labels, settings, software)

    monkeypatch.setattr("sharding.build.assemble", in_between)
    report = build(corpus, tmp_path, SETTINGS, jobs=1, share=Share(0, 2), retry_failed=True)
    assert not moments
    assert report.manifest is not None
    assert report.manifest.written == open_shards(tmp_path).manifest.written == 14
    verify(tmp_path)


def test_a_listing_survives_files_that_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "stays").write_bytes(b"1")
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            with publish(tmp_path / "comes") as temporary:
                temporary.touch()
            (tmp_path / "comes").unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        listings = [LocalPlace(tmp_path).files("") for _ in range(2000)]
    finally:
        ended.set()
        thread.join()
    assert all(listing.get("stays") == 1 for listing in listings)
    assert any(len(listing) > 1 for listing in listings)


def test_a_build_of_other_settings_does_not_begin_beside_one_that_has(corpus: Path, tmp_path: Path) -> None:
    """Before anything is decoded: in a bucket, and among the tasks of an array, no lock keeps them apart."""
    place, ours, others = LocalPlace(tmp_path), {"seed": 1}, {"seed": 2}
    mark(place, ours, alone=False)
    mark(place, ours, alone=False)
    with pytest.raises(ConfigError, match=r"\.clmr-build\.json: a build with other settings has begun here"):
        mark(place, others, alone=False)
    mark(place, others, alone=True)  # the folder is claimed and holds no shards: it was given up
    with pytest.raises(ConfigError, match="a build with other settings has begun here"):
        mark(place, ours, alone=False)
    with pytest.raises(ConfigError, match="a build with other settings has begun here"):
        build(corpus, tmp_path, SETTINGS, jobs=1, share=Share(0, 2))
    assert not list(tmp_path.rglob("*.tar"))
