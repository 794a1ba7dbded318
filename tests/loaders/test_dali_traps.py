"""What DALI does that one would not expect, and that our shards and our pipeline are out of its way."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders.dali import build_pipeline, load_dali
from sharding.build import build
from sharding.plan import BuildSettings
from tests.loaders.test_built import CROP, RATE

pytestmark = pytest.mark.needs("module:nvidia.dali")


def stock_reader(tars: Sequence[Path], extensions: Sequence[str], **options: Any) -> Any:
    """A pipeline of DALI's own reader, one sample at a time, with the index files beside the tars."""
    dali, fn = load_dali(), import_module("nvidia.dali.fn")
    pipeline = dali.Pipeline(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
    with pipeline:
        outputs = fn.readers.webdataset(
            paths=[str(tar) for tar in tars],
            index_paths=[str(tar.with_suffix(".idx")) for tar in tars],
            ext=list(extensions),
            name="reader",
            **options,
        )
        pipeline.set_outputs(*(outputs if isinstance(outputs, list | tuple) else [outputs]))
    pipeline.build()
    return pipeline


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Shards as the sharder writes them, from recordings whose names nobody's index would take."""
    import soundfile

    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    rows = ["path,tags,split,song_id"]
    for number in range(9):
        name = f"Ünder. {'long ' * 30} {number}.v1.000.wav"
        soundfile.write(source / name, rng.integers(-9, 9, CROP + 999 * number, dtype=np.int16), RATE)
        rows.append(f"{name},noise,train,song {number}")
    (source / "labels.csv").write_text("\n".join(rows) + "\n")
    build(source, out, BuildSettings(dataset="folder", sample_rate=RATE, shard_size=200_000), jobs=1)
    return sorted((out / "train").glob("*.tar"))


def test_the_stock_reader_finds_every_member_of_every_shard(tars: list[Path]) -> None:
    """Names with a dot, a space or more than 100 characters would be lost, refused, or give other bytes."""
    pipeline = stock_reader(tars, ["wav", "json"], missing_component_behavior="error")
    expected = []
    for tar in tars:
        with tarfile.open(tar, "r:") as archive:
            files = [archive.extractfile(member) for member in archive]
            expected += [file.read() for file in files if file]
    assert len(tars) > 1
    assert 2 * pipeline.epoch_size("reader") == len(expected) == 18
    read: list[bytes] = []
    while len(read) < len(expected):
        read += [output.at(0).tobytes() for output in pipeline.run()]
    assert read == expected


def test_a_missing_component_is_an_error_only_where_one_asks_for_it(tars: list[Path]) -> None:
    empty, _ = stock_reader(tars, ["flac", "wav"]).run()
    assert empty.at(0).size == 0
    with pytest.raises(RuntimeError, match="Underful sample"):
        stock_reader(tars, ["flac", "wav"], missing_component_behavior="error").run()


def test_a_key_with_a_dot_is_no_key_for_the_stock_reader(tmp_path: Path) -> None:
    tar = tmp_path / "dots.tar"
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("song.v1.wav")
        info.size = 4
        archive.addfile(info, BytesIO(b"abcd"))
    tar.with_suffix(".idx").write_text("v1.2 1\nv1.wav 512 4 song.v1.wav\n")
    (empty,) = stock_reader([tar], ["wav"]).run()
    assert empty.at(0).size == 0


def test_our_pipeline_moves_and_does_nothing_else() -> None:
    """A cast rounds, and DALI's draws are its own: crops would be others, and sometimes out of bounds."""
    dali, fn, types = load_dali(), import_module("nvidia.dali.fn"), import_module("nvidia.dali.types")
    rounding = dali.Pipeline(batch_size=1, num_threads=1, device_id=None)
    with rounding:
        rounding.set_outputs(fn.cast(types.Constant(0.6), dtype=types.INT32))
    assert rounding.run()[0].at(0) == 1

    pipeline = build_pipeline(4, torch.device("cpu"))
    described = pipeline.serialize()
    assert b"ExternalSource" in described
    assert not [name for name in (b"Cast", b"Random", b"Uniform", b"Slice", b"Reader") if name in described]
    assert pipeline.device_id is None
    assert pipeline.exec_dynamic
