"""Feature dumps: every window, the same from any number of processes, whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from clmr.errors import FeatureError
from sharding.format import label_matrix, open_shards
from tests.train.launching import SMALL, program, run
from train.embed import main
from train.features import open_features
from train.pretrain import main as pretrain
from train.probing.settings import ProbeSettings
from train.probing.splits import load_data
from train.runs.checkpoint import load_encoder
from train.spectrum import LogSpectrum

WINDOW = 20736  # the encoder's input at 8 kHz


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    pretrain.main(["--shards", str(shards), "--run", str(out), *SMALL, "--steps", "4"], standalone_mode=False)
    return out


@pytest.fixture(scope="module")
def features(shards: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("features") / "dump"
    main.main(
        ["--run", str(trained), "--shards", str(shards), "--out", str(out), "--device", "cpu"], standalone_mode=False
    )
    return out


def test_every_window_of_every_track(shards: Path, trained: Path, features: Path) -> None:
    """Each row equals the encoder on samples cut straight out of the shard."""
    dump, tracks = open_features(features), open_shards(shards).tracks()
    encoder, _ = load_encoder(trained, None)
    assert list(dump.windows) == [frames // WINDOW for frames in tracks.frames]
    assert dump.matrix.dtype == np.float32
    assert dump.matrix.shape == (sum(dump.windows), 16)
    for number in (0, 17, len(tracks) - 1):
        shard = (shards / tracks.shard_names[tracks.shard[number]]).read_bytes()
        whole = int(dump.windows[number]) * WINDOW
        pcm = np.frombuffer(shard, "<i2", whole, offset=int(tracks.pcm_offset[number]))
        audio = torch.from_numpy(pcm.astype(np.float32) / 32768).view(-1, 1, WINDOW)
        with torch.inference_mode():
            expected = encoder(audio).numpy()
        found = dump.matrix[dump.first[number] : dump.first[number] + dump.windows[number]]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_labels_and_splits_come_along(shards: Path, features: Path) -> None:
    dump, tracks = open_features(features), open_shards(shards).tracks()
    assert dump.vocabulary == ("high", "pulse")
    assert list(dump.split) == tracks.table["split"].to_pylist()
    np.testing.assert_array_equal(dump.labels, label_matrix(tracks.table["labels"], dump.vocabulary))
    matrix, labels, owner = dump.of("valid")
    assert len(labels) == 8
    assert len(matrix) == len(owner) == dump.windows[dump.split == "valid"].sum()
    assert sorted(set(owner)) == list(range(8))


def test_two_processes_write_the_same_dump(shards: Path, trained: Path, features: Path, tmp_path: Path) -> None:
    arguments = ["--run", str(trained), "--shards", str(shards), "--out", str(tmp_path / "dump"), "--device", "cpu"]
    done = run(program("embed.py", [*arguments, "--batch-size", "5"], ["--standalone", "--nproc-per-node", "2"]))
    assert done.returncode == 0, done.stderr
    two, one = open_features(tmp_path / "dump"), open_features(features)
    np.testing.assert_allclose(two.matrix, one.matrix, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "dump" / "tracks.parquet").read_bytes() == (features / "tracks.parquet").read_bytes()


def test_the_probe_takes_overlapping_windows_but_not_as_the_official_code(
    shards: Path, trained: Path, features: Path, tmp_path: Path
) -> None:
    options = ["--run", str(trained), "--shards", str(shards), "--device", "cpu"]
    for name, seconds in (("half", "1.296"), ("whole", "2.592")):
        main.main([*options, "--hop", seconds, "--out", str(tmp_path / name)], standalone_mode=False)
    half, frames = open_features(tmp_path / "half"), open_shards(shards).tracks().frames
    assert half.windows.tolist() == [(count - WINDOW) // (WINDOW // 2) + 1 for count in frames]
    kept = load_data(tmp_path / "half", ProbeSettings())
    assert kept.test.protocol["windows"] == half.windows[half.split == "test"].sum()
    with pytest.raises(FeatureError, match=r"windows overlap or leave gaps.*--last-window keep"):
        load_data(tmp_path / "half", ProbeSettings(last_window="official"))
    load_data(tmp_path / "whole", ProbeSettings(last_window="official"))
    for name in ("features.npy", "tracks.parquet", "windows.parquet", "features.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (features / name).read_bytes()


def test_one_parquet_for_other_programs(shards: Path, trained: Path, features: Path, tmp_path: Path) -> None:
    arguments = ["--run", str(trained), "--shards", str(shards), "--out", str(tmp_path), "--device", "cpu"]
    main.main([*arguments, "--format", "parquet"], standalone_mode=False)
    table, dump = pq.read_table(tmp_path / "features.parquet"), open_features(features)
    assert table.select(["key", "time"]).equals(pq.read_table(features / "windows.parquet"))
    keys = open_shards(shards).tracks().table["key"].to_pylist()
    assert table["key"].to_pylist() == [
        key for key, count in zip(keys, dump.windows, strict=True) for _ in range(count)
    ]
    assert table["time"].to_pylist()[: dump.windows[0]] == [n * WINDOW / 8000 for n in range(dump.windows[0])]
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), dump.matrix)
    assert (tmp_path / "tracks.parquet").read_bytes() == (features / "tracks.parquet").read_bytes()


def test_stock_numpy_maps_the_dump(features: Path) -> None:
    matrix = np.load(features / "features.npy", mmap_mode="r", allow_pickle=False)
    assert isinstance(matrix, np.memmap)
    assert np.isfinite(matrix).all()


def test_initial_and_final_checkpoints_differ(shards: Path, trained: Path, features: Path, tmp_path: Path) -> None:
    first = trained / "checkpoints" / "step-00000000.pt"
    main.main(
        ["--checkpoint", str(first), "--shards", str(shards), "--out", str(tmp_path), "--device", "cpu"],
        standalone_mode=False,
    )
    assert not np.allclose(open_features(tmp_path).matrix, open_features(features).matrix)


def test_log_spectrum_baseline_tells_tones_apart(shards: Path, tmp_path: Path) -> None:
    main.main(
        ["--baseline", "log-spectrum", "--shards", str(shards), "--out", str(tmp_path), "--device", "cpu"],
        standalone_mode=False,
    )
    assert open_features(tmp_path).matrix.shape[1] == LogSpectrum.width
    tone = torch.sin(2 * torch.pi * 1000 / 8000 * torch.arange(8000.0)).view(1, 1, -1)
    level = LogSpectrum()(tone)[0, :257]
    assert level.argmax() == 64  # 1000 Hz in bins of 8000 / 512 Hz


def test_silence_has_finite_log_spectrum() -> None:
    assert torch.isfinite(LogSpectrum()(torch.zeros(2, 1, 8000))).all()


def test_an_unfinished_dump_is_refused(features: Path, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"features\.json is missing"):
        open_features(tmp_path)
    for name in ("features.npy", "tracks.parquet"):
        (tmp_path / name).write_bytes((features / name).read_bytes())
    described = json.loads((features / "features.json").read_text(encoding="utf-8"))
    (tmp_path / "features.json").write_text(json.dumps({**described, "windows": 3}), encoding="utf-8")
    with pytest.raises(FeatureError, match="do not belong together"):
        open_features(tmp_path)
    (tmp_path / "features.npy").write_bytes(b"nothing")
    with pytest.raises(FeatureError, match="is damaged"):
        open_features(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of the three"),
        (["--run", "/nowhere"], "/nowhere holds no checkpoint"),
        (["--checkpoint", "/nowhere.pt"], "/nowhere.pt is not a file"),
        (["--run", "a", "--baseline", "log-spectrum"], "one of the three"),
        (["--baseline", "log-spectrum", "--hop", "1e-5"], "--hop 1e-05: at least one sample, 0.000125 s at 8000 Hz"),
    ],
)
def test_mistakes_get_one_line(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.main([*options, "--shards", str(shards), "--out", str(tmp_path / "out")], standalone_mode=False)
    assert stopped.value.code == 1
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
