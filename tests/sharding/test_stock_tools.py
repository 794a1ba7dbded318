"""Other people's programs read the shards: tar, tarfile, soundfile, sox, webdataset and DALI."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sharding.decode import decode
from sharding.format import open_shards, read_manifest


@pytest.fixture(scope="module")
def tars(shards: Path) -> list[Path]:
    return [shards / shard.name for shard in read_manifest(shards).shards]


def test_gnu_tar_lists_and_extracts_in_the_order_of_the_index(shards: Path, tars: list[Path], tmp_path: Path) -> None:
    index = open_shards(shards).index.to_pylist()
    for tar in tars:
        listed = subprocess.run(["tar", "tf", tar], capture_output=True, text=True, check=True)
        assert listed.stderr == ""
        keys = [row["key"] for row in index if row["shard"] == f"{tar.parent.name}/{tar.name}"]
        assert listed.stdout.split() == [f"{key}.{extension}" for key in keys for extension in ("wav", "json")]
        subprocess.run(["tar", "xf", tar, "-C", tmp_path], check=True)
    assert len(list(tmp_path.glob("*.wav"))) == len(index) == 14


def test_members_are_plain_ustar_files(tars: list[Path]) -> None:
    for tar in tars:
        with tarfile.open(tar, "r:") as archive:
            members = archive.getmembers()
            assert archive.pax_headers == {}
        for member in members:
            assert (member.mode, member.mtime, member.uid, member.gid) == (0o644, 0, 0, 0)
            assert member.isreg()


def test_soundfile_reads_the_members_and_they_are_the_decoded_recordings(
    shards: Path, corpus: Path, tars: list[Path]
) -> None:
    rows = {row["key"]: row for row in open_shards(shards).index.to_pylist()}
    for tar in tars:
        with tarfile.open(tar, "r:") as archive:
            for member in archive.getmembers():
                file = archive.extractfile(member)
                assert file is not None
                key, _, extension = member.name.partition(".")
                row = rows[key]
                if extension == "json":
                    expected = ("key", "dataset", "split", "song_id", "labels", "frames", "source", "source_sha256")
                    assert json.load(file) == {**{name: row[name] for name in expected}, "sample_rate": 22050}
                    continue
                pcm, rate = soundfile.read(file, dtype="int16")
                assert rate == 22050
                assert np.array_equal(pcm, decode((corpus / row["source"]).read_bytes(), 22050).pcm)
                with tar.open("rb") as raw:  # the address in the index
                    raw.seek(row["pcm_offset"])
                    assert np.array_equal(np.frombuffer(raw.read(2 * row["frames"]), "<i2"), pcm)
                assert (row["peak"], row["duration"]) == (np.abs(pcm.astype(int)).max(), len(pcm) / 22050)


@pytest.mark.needs("module:nvidia.dali")
def test_wds2idx_writes_the_same_index(tars: list[Path], tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "wds2idx"
    for tar in tars:
        made = tmp_path / "made.idx"
        subprocess.run([program, tar, made], check=True, capture_output=True)
        assert made.read_bytes() == tar.with_suffix(".idx").read_bytes()


def to_pcm(data: bytes) -> Any:
    return soundfile.read(io.BytesIO(data), dtype="int16")[0]


def test_webdataset_reads_them(shards: Path, tars: list[Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        decoder = webdataset.handle_extension("wav", to_pcm)
        samples = list(webdataset.WebDataset([str(tar) for tar in tars], shardshuffle=False).decode(decoder))
    rows = open_shards(shards).index.to_pylist()
    assert [sample["__key__"] for sample in samples] == [row["key"] for row in rows]
    for sample, row in zip(samples, rows, strict=True):
        assert sample["json"]["source"] == row["source"]
        assert len(sample["wav"]) == row["frames"]


@pytest.mark.needs("module:nvidia.dali")
def test_dali_reads_them(tars: list[Path]) -> None:
    dali: Any = importlib.import_module("nvidia.dali")  # its stubs know no pipeline without a GPU
    fn, types = importlib.import_module("nvidia.dali.fn"), importlib.import_module("nvidia.dali.types")
    tar = tars[0]
    pipeline = dali.Pipeline(batch_size=1, num_threads=1, device_id=None)
    with pipeline:
        wav, described = fn.readers.webdataset(
            paths=[str(tar)],
            index_paths=[str(tar.with_suffix(".idx"))],
            ext=["wav", "json"],
            missing_component_behavior="error",
        )
        pcm, _ = fn.decoders.audio(wav, dtype=types.INT16)
        pipeline.set_outputs(pcm, described)
    pipeline.build()
    with tarfile.open(tar, "r:") as archive:
        names = archive.getnames()[::2]
        for name in names:
            samples, about = (output.at(0) for output in pipeline.run())
            file = archive.extractfile(name)
            assert file is not None
            assert np.array_equal(samples.ravel(), to_pcm(file.read()))
            assert json.loads(bytes(about))["key"] == name.removesuffix(".wav")
