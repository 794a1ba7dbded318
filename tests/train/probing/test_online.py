"""The probe during training sees what it says, costs the training nothing but time, and is there once per step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clmr import SampleCNN
from loaders import WindowLoader
from tests.loaders.small_shards import recordings, write_shards
from tests.train.launching import LAUNCHER, ROOT, SMALL, flat, newest, run
from train.pretrain import main
from train.probing.online import encode
from train.probing.windows import ProbeWindows
from train.ranks.launch import Place
from train.runs.checkpoint import checkpoint_path
from train.runs.log import read_probes

RATE, CROP = 8000, 20736
HERE = Place(0, 1, torch.device("cpu"))


def pretrain(shards: Path | str, out: Path, *options: str) -> None:
    arguments = ["--shards", str(shards), "--run", str(out), *SMALL, "--no-ceilings", *options]
    main.main(arguments, standalone_mode=False)


def without_time(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in entries]


def assert_same_state(ours: Path, theirs: Path) -> None:
    """Weights, batch-norm statistics, optimiser, generator and place in the data, to the bit."""
    first, second = newest(ours), newest(theirs)
    assert first["step"] == second["step"]
    assert first["loader"] == second["loader"]
    tensors, others = flat(first), flat(second)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


@pytest.fixture(scope="module")
def alone(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven steps, of three an epoch, without (plain) and with (probed) a probe every epoch."""
    folder = tmp_path_factory.mktemp("alone")
    for name, every in (("plain", "0"), ("probed", "1")):
        pretrain(shards, folder / name, "--steps", "7", "--probe-every", every)
    return folder


def test_leaves_the_training_as_it_was(alone: Path) -> None:
    assert_same_state(alone / "plain", alone / "probed")
    assert not (alone / "plain" / "probe.jsonl").exists()


def test_begins_with_the_initial_weights_and_ends_with_the_last(alone: Path) -> None:
    probes = read_probes(alone / "probed")
    assert [entry["step"] for entry in probes] == [0, 3, 6, 7]
    assert [entry["epoch"] for entry in probes] == [0, 1, 2, pytest.approx(7 / 3)]
    for entry in probes:
        assert (entry["shards"], entry["train_tracks"], entry["valid_tracks"]) == ("tones", 24, 8)
        assert entry["labels_scored"] == 2
        assert 0 <= entry["pr_auc"] <= 1
    assert probes[0]["roc_auc"] > 0.8, "high and low tones are told apart by any filters"


def test_two_processes_train_and_probe_alike(alone: Path, shards: Path, tmp_path: Path) -> None:
    script = [str(ROOT / "tests" / "train" / "probed_and_not.py"), str(shards), str(tmp_path)]
    done = run([*LAUNCHER, "--standalone", "--nproc-per-node", "2", "--", *script])
    assert done.returncode == 0, done.stderr
    assert_same_state(tmp_path / "plain", tmp_path / "probed")
    ours, theirs = read_probes(tmp_path / "probed"), read_probes(alone / "probed")
    assert [entry["step"] for entry in ours] == [0, 3, 6, 7]
    assert ours[0]["windows"] == theirs[0]["windows"]
    assert ours[0]["roc_auc"] == pytest.approx(theirs[0]["roc_auc"])  # of the same initial weights
    assert ours[0]["pr_auc"] == pytest.approx(theirs[0]["pr_auc"])


@pytest.mark.parametrize("lost", [False, True], ids=["probed before", "killed before its probe"])
def test_a_resumed_run_has_every_probe_once(alone: Path, shards: Path, tmp_path: Path, lost: bool) -> None:
    pretrain(shards, tmp_path, "--steps", "6", "--probe-every", "1")
    lines = (tmp_path / "probe.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "probe.jsonl").write_text("".join(lines[:-1] if lost else [*lines, '{"step": 9}\n', '{"st']))
    before = None if lost else lines[-1]
    pretrain(shards, tmp_path, "--steps", "7", "--probe-every", "1")
    assert without_time(read_probes(tmp_path)) == without_time(read_probes(alone / "probed"))
    assert before is None or before in (tmp_path / "probe.jsonl").read_text(), "it was not computed again"


def test_windows_are_spread_over_seeded_tracks(shards: Path) -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "window_frames": CROP // 9}
    with WindowLoader(str(shards), batch_size=64, splits=("train",), **options) as every:
        pcm = {(int(t), int(w)): row for b in every for t, w, row in zip(b.track, b.window, b.pcm, strict=True)}
        counts, rows = every.windows_per_track, every.tracks.row
    seen = []
    for rank in range(2):
        with ProbeWindows(str(shards), "train", Place(rank, 2, HERE.device), most_tracks=5, **options) as some:
            for batch in some:
                for i, position in enumerate(batch.position.tolist()):
                    track, window = int(batch.track[i]), int(batch.window[i])
                    assert track == rows[some.chosen[some.owner[position]]]
                    assert torch.equal(batch.pcm[i], pcm[track, window])
                    seen.append((position, track, window))
    assert [position for position, _, _ in seen] == list(range(20)), "four windows of each, shared by two ranks"
    assert len({track for _, track, _ in seen}) == 5
    for track in {track for _, track, _ in seen}:
        count = counts[np.flatnonzero(rows == track)[0]]
        assert [window for _, t, window in seen if t == track] == [int((i + 0.5) * count / 4) for i in range(4)]


def test_a_rank_without_windows_gives_rows_of_zeros(shards: Path) -> None:
    """Or its sum with the other ranks, which have some, would never end."""
    encoder = SampleCNN(sample_rate=RATE, width=16).eval()
    few: dict[str, Any] = {"sample_rate": RATE, "window_frames": CROP, "most_tracks": 1}
    with ProbeWindows(str(shards), "valid", HERE, **few) as all_of_them:
        total = all_of_them.total_windows
        assert total < 6
        assert encode(encoder, all_of_them).abs().sum() > 0
    with ProbeWindows(str(shards), "valid", Place(0, 6, HERE.device), **few) as none:
        assert torch.equal(encode(encoder, none), torch.zeros(total, 16))


def test_what_cannot_be_probed_is_named_and_the_rest_is(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bare = write_shards(tmp_path / "bare", recordings(9, shortest=CROP, longest=CROP + 9), sample_rate=RATE)
    halves = ["--shards", f"{bare}=0.5", "--steps", "1", "--probe-every", "1"]
    pretrain(f"{shards}=0.5", tmp_path / "mixed", *halves)
    assert f"{bare} is not probed: no labels" in capfd.readouterr().err
    assert [(entry["step"], entry["shards"]) for entry in read_probes(tmp_path / "mixed")] == [
        (0, "tones"),
        (1, "tones"),
    ]
    pretrain(bare, tmp_path / "none", "--steps", "1", "--probe-every", "1")
    assert not (tmp_path / "none" / "probe.jsonl").exists()
    labelled = write_shards(
        tmp_path / "one", recordings(9, shortest=CROP, longest=CROP + 9), sample_rate=RATE, labels=("a", "b")
    )
    pretrain(labelled, tmp_path / "train-only", "--steps", "1", "--probe-every", "1")
    assert "is not probed: no tracks in split valid" in capfd.readouterr().err
    assert checkpoint_path(tmp_path / "train-only", 1).exists()
