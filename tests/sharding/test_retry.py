"""--retry-failed and changed sources: only what changed is decoded again, and the bytes are those of a fresh build."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import sharding.write
from sharding.build import build
from sharding.datasets.catalog import Recording
from sharding.faults import Fault
from sharding.format import open_shards
from sharding.plan import BuildSettings
from sharding.pool import StoppedError
from sharding.storage import LocalPlace
from sharding.verify import verify
from sharding.write import ShardJob, ShardResult, write_shard
from tests.sharding.test_build import contents

SETTINGS = BuildSettings("folder", shard_size=600 * 2**10)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recordings that are decoded; the work is done in this process."""
    names: list[str] = []
    attempt = sharding.write.attempt

    def counting(source: LocalPlace, recording: object, settings: BuildSettings) -> object:
        names.append(recording.source)  # type: ignore[attr-defined]
        return attempt(source, recording, settings)  # type: ignore[arg-type]

    def here(jobs: list[ShardJob], processes: int, scheduler: str, progress: Callable[[int, int], None]) -> None:
        del processes, scheduler
        for job in jobs:
            write_shard(job, lambda _: None)
        progress(0, 0)

    monkeypatch.setattr("sharding.write.attempt", counting)
    monkeypatch.setattr("sharding.build.run_jobs", here)
    return names


@pytest.fixture
def source(corpus: Path, tmp_path: Path) -> Path:
    """The corpus, with three files that cannot be used for now."""
    folder = shutil.copytree(corpus, tmp_path / "source")
    for number, content in ((1, None), (3, b""), (5, b"not audio" * 1000)):
        path = file(folder, number)
        path.rename(path.with_name(f"{path.name}.good"))
        if content is not None:
            path.write_bytes(content)
    return folder


def file(folder: Path, number: int) -> Path:
    found = [path for path in folder.glob(f"disc */*.{number:02d} #1.*") if not path.name.endswith(".good")]
    good = [path.with_name(path.name.removesuffix(".good")) for path in folder.glob(f"disc */*.{number:02d} #1.*.good")]
    return (found + good)[0]


def mend(folder: Path, number: int) -> str:
    path = file(folder, number)
    path.with_name(f"{path.name}.good").rename(path)
    return path.relative_to(folder).as_posix()


def test_what_was_left_out_is_tried_again_and_nothing_else_is_decoded(
    source: Path, corpus: Path, tmp_path: Path, decoded: list[str]
) -> None:
    root = tmp_path / "shards"
    first = build(source, root, SETTINGS, jobs=1)
    assert first.manifest is not None
    assert dict(first.manifest.skipped) == {"empty": 1, "missing": 1, "undecodable": 1}
    before = contents(root)
    failed = sorted(row["source"] for row in open_shards(root).index.to_pylist() if row["status"] == "skipped")

    decoded.clear()
    build(source, root, SETTINGS, jobs=1)
    assert decoded == []  # a plain build keeps what is finished, failures included
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.tar")}
    build(source, root, SETTINGS, jobs=1, retry_failed=True)
    assert sorted(decoded) == failed
    assert contents(root) == before
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.tar")} == times

    decoded.clear()
    mended = [mend(source, 1), mend(source, 3)]
    again = build(source, root, SETTINGS, jobs=1, retry_failed=True)
    assert again.manifest is not None
    assert dict(again.manifest.skipped) == {"undecodable": 1}
    assert set(mended) <= set(decoded) <= set(failed)
    verify(root)

    mended.append(mend(source, 5))
    build(source, root, SETTINGS, jobs=1)  # a change that a look at the file shows needs no flag
    verify(root)
    fresh = build(corpus, tmp_path / "fresh", SETTINGS, jobs=1)
    assert fresh.manifest is not None
    found = {row["source"]: row for row in open_shards(root).index.to_pylist()}
    for row in open_shards(tmp_path / "fresh").index.to_pylist():
        assert found[row["source"]]["pcm_xxh3"] == row["pcm_xxh3"]


def test_a_mended_track_moves_no_other(source: Path, tmp_path: Path, decoded: list[str]) -> None:
    root = tmp_path / "shards"
    build(source, root, SETTINGS, jobs=1)
    before = {row["key"]: row["split"] for row in open_shards(root).index.to_pylist()}
    tars = contents(root)
    decoded.clear()
    name = mend(source, 1)
    build(source, root, SETTINGS, jobs=1)
    assert decoded.count(name) == 1
    after = open_shards(root).index.to_pylist()
    assert {row["key"]: row["split"] for row in after} == before
    (changed,) = {row["shard"] for row in after if row["source"] == name}
    differing = {tar for tar, digest in contents(root).items() if tars.get(tar) != digest and tar.endswith(".tar")}
    assert differing == {changed}


def test_new_labels_are_written_without_decoding(corpus: Path, tmp_path: Path, decoded: list[str]) -> None:
    source = shutil.copytree(corpus, tmp_path / "source")
    build(source, tmp_path / "shards", SETTINGS, jobs=1)
    labels = source / "labels.csv"
    labels.write_text(labels.read_text(encoding="utf-8").replace("drums", "cymbals"), encoding="utf-8")
    decoded.clear()
    build(source, tmp_path / "shards", SETTINGS, jobs=1)
    assert decoded == []
    build(source, tmp_path / "fresh", SETTINGS, jobs=1)
    assert contents(tmp_path / "shards") == contents(tmp_path / "fresh")


def test_what_was_damaged_is_not_copied(corpus: Path, tmp_path: Path, decoded: list[str]) -> None:
    source, root = shutil.copytree(corpus, tmp_path / "source"), tmp_path / "shards"
    build(source, root, SETTINGS, jobs=1)
    row = next(row for row in open_shards(root).index.to_pylist() if row["shard"])
    with (root / row["shard"]).open("r+b") as tar:
        tar.seek(row["pcm_offset"] + 1000)
        tar.write(b"\xff\xff\xff")
    labels = source / "labels.csv"
    labels.write_text(labels.read_text(encoding="utf-8").replace("drums", "cymbals"), encoding="utf-8")
    for receipt in root.glob("*/*.parquet"):  # every shard is planned anew, as an idx that is gone asks for it
        receipt.with_suffix(".idx").unlink(missing_ok=True)
    decoded.clear()
    build(source, root, SETTINGS, jobs=1)
    assert decoded == [row["source"]]
    verify(root)


def test_a_kill_in_the_middle_of_a_retry_loses_nothing(
    source: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shards"
    build(source, root, SETTINGS, jobs=1)
    mend(source, 1)
    mend(source, 3)

    def dies(jobs: list[ShardJob], *_: object) -> list[ShardResult]:
        def report(samples: int) -> None:
            if samples:
                raise StoppedError

        return [write_shard(job, report) for job in jobs]

    with monkeypatch.context() as patch:
        patch.setattr("sharding.build.run_jobs", dies)
        with pytest.raises(StoppedError):
            build(source, root, SETTINGS, jobs=1, retry_failed=True)
    assert not list(root.rglob("*.part"))
    again = build(source, root, SETTINGS, jobs=1, retry_failed=True)
    assert again.manifest is not None
    assert dict(again.manifest.skipped) == {"undecodable": 1}
    verify(root)
    assert decoded


def test_a_file_of_another_content_than_its_checksum_is_left_out(corpus: Path) -> None:
    name = next(path.relative_to(corpus).as_posix() for path in sorted(corpus.glob("disc */*.wav")))
    data = (corpus / name).read_bytes()
    right = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    for sha1, reason in ((right, None), ("0" * 40, Fault.CHECKSUM)):
        recording = Recording("key", "song", "train", (), (name,), sha1=sha1)
        decoded, sha256 = sharding.write.attempt(LocalPlace(corpus), recording, SETTINGS)
        assert sha256 == hashlib.sha256(data).hexdigest()
        assert (decoded if isinstance(decoded, Fault) else None) == reason
