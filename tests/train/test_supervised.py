"""The supervised SampleCNN as a user runs it: it learns, survives any death, and equals itself on two processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

import clmr
from clmr.official import load_official
from loaders import WindowLoader
from tests.loaders.small_shards import recordings, write_shards
from tests.train.launching import environment, flat, newest, program, run
from train.embed import main as embed
from train.runs.checkpoint import checkpoint_path, checkpoints, load
from train.runs.log import read_log
from train.runs.preempt import StopRequest
from train.supervised import main

SMALL = ["--width", "16", "--batch-size", "8", "--device", "cpu", "--threads", "1"]
SHORT = ["--epochs", "3", "--patience", "3", "--checkpoint-every", "4"]
EXACT = 1e-8  # float64 after several steps: sums in another order, raised by Adam, which divides by small gradients
CROP = 20736  # samples, the encoder's at 8 kHz


def supervised(shards: Path, out: Path, *options: str) -> None:
    """Train in this process."""
    main.main(["--shards", str(shards), "--run", str(out), *SMALL, *options], standalone_mode=False)


def scores_of(out: Path) -> dict[str, Any]:
    result = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert isinstance(result, dict)
    return result


def same_state(one: Path, other: Path) -> bool:
    a, b = flat(newest(one)), flat(newest(other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def curves(out: Path) -> list[dict[str, Any]]:
    """The log without its clock."""
    return [{name: value for name, value in entry.items() if "second" not in name} for entry in read_log(out)]


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    supervised(shards, out, *SHORT)
    return out


def test_it_learns_what_can_be_heard(shards: Path, tmp_path: Path) -> None:
    """Of 12 test tracks, 6 with each tag: the mean ROC-AUC of chance has a deviation of .12."""
    supervised(shards, tmp_path, "--epochs", "8", "--patience", "8", "--learning-rate", "1e-2")
    result = scores_of(tmp_path)
    assert result["test"]["tag"]["roc_auc"] > 0.8
    assert result["protocol"]["tracks"] == {"train": 24, "valid": 8, "test": 12}
    assert "accuracy" not in result["test"]


def test_scores_are_the_best_epochs_on_whole_tracks(shards: Path, whole: Path) -> None:
    """The published checkpoint and the windows of every test track, by scikit-learn."""
    protocol = scores_of(whole)["protocol"]
    assert protocol["best_epoch"] < protocol["epochs"], "the last epoch was the best: that shows nothing"
    weights = load_official(checkpoints(whole)[-1])
    assert weights.head is not None
    probability: dict[int, list[torch.Tensor]] = {}
    with WindowLoader(shards, batch_size=1, splits=("test",)) as loader, torch.inference_mode():
        for batch in loader:
            audio = batch.pcm[:, None].float() / 32768
            probability.setdefault(int(batch.track), []).append(weights.head(weights.encoder(audio)).sigmoid()[0])
        truth = loader.labels
        scores = torch.stack([torch.stack(each).mean(dim=0) for each in probability.values()]).numpy()
    tag = scores_of(whole)["test"]["tag"]
    assert tag["roc_auc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"), abs=1e-9)
    assert tag["pr_auc"] == pytest.approx(average_precision_score(truth, scores, average="macro"), abs=1e-9)


def test_the_run_is_one_that_encoders_are_loaded_from(shards: Path, whole: Path, tmp_path: Path) -> None:
    best = newest(whole)["model"]
    encoder = clmr.load_encoder(whole)
    assert encoder.width == 16
    assert all(torch.equal(value, best[f"encoder.{name}"]) for name, value in encoder.state_dict().items())
    arguments = ["--run", str(whole), "--shards", str(shards), "--out", str(tmp_path / "features")]
    embed.main([*arguments, "--device", "cpu", "--threads", "1"], standalone_mode=False)
    assert (tmp_path / "features" / "features.json").exists()


def test_the_same_command_again_changes_nothing(shards: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, lines = scores_of(whole), curves(whole)
    content = checkpoints(whole)[-1].read_bytes()
    supervised(shards, whole, *SHORT)
    assert scores_of(whole) == before
    assert curves(whole) == lines
    assert checkpoints(whole)[-1].read_bytes() == content
    output = capsys.readouterr().out
    assert "protocol  test split, 21 windows, mean over a track's windows of the sigmoid" in output
    assert "tag-wise  ROC-AUC" in output


def test_kill_9_costs_nothing(shards: Path, whole: Path, tmp_path: Path) -> None:
    options = ["--shards", str(shards), "--run", str(tmp_path / "run"), *SMALL, *SHORT]
    process = subprocess.Popen(
        program("supervised.py", options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    while not checkpoint_path(tmp_path / "run", 8).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert newest(tmp_path / "run")["step"] < newest(whole)["step"], "it was killed too late to show anything"
    supervised(shards, tmp_path / "run", *SHORT)
    assert same_state(tmp_path / "run", whole)
    assert curves(tmp_path / "run") == curves(whole)
    assert scores_of(tmp_path / "run") == scores_of(whole)


def test_a_signal_between_any_two_steps(
    shards: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And then its folder is gone, and it goes on from the copies."""
    out, copies = tmp_path / "run", ["--checkpoints", str(tmp_path / "copies")]
    for steps in (3, 3, 1):  # in the middle of an epoch, at the end of one, after it
        count = iter([False] * steps + [True])
        monkeypatch.setattr(StopRequest, "agreed", lambda _, count=count: next(count))
        supervised(shards, out, *SHORT, *copies)
        assert "the same command goes on from there" in capsys.readouterr().out
        assert not (out / "scores.json").exists()
    monkeypatch.undo()
    shutil.rmtree(out)
    supervised(shards, out, *SHORT, *copies)
    assert same_state(out, whole)
    assert curves(out) == curves(whole)


def test_two_processes_equal_one(shards: Path, tmp_path: Path) -> None:
    """With augmentation, dropout and a share of the labels, in batches that two ranks cannot halve."""
    options = [*SMALL, "--epochs", "1", "--precision", "float64", "--label-fraction", "0.7"]
    recipe = '[[operations]]\nname = "gain"\nprobability = 0.5\n[[operations]]\nname = "polarity"\nprobability = 0.5\n'
    (tmp_path / "gains.toml").write_text(recipe)
    options += ["--augment", str(tmp_path / "gains.toml")]
    main.main(["--shards", str(shards), "--run", str(tmp_path / "one"), *options], standalone_mode=False)
    arguments = ["--shards", str(shards), "--run", str(tmp_path / "two"), *options]
    done = run(program("supervised.py", arguments, ["--standalone", "--nproc-per-node", "2"]))
    assert done.returncode == 0, done.stderr
    one, two = (flat(newest(tmp_path / name)) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        # Values below 1e-3 count as 1e-3: a convolution's bias before batch norm has no gradient but rounding.
        scale = one[name].double().abs().max().clamp_min(1e-3)
        assert float((one[name].double() - two[name].double()).abs().max() / scale) < EXACT, name
    for mine, theirs in zip(curves(tmp_path / "one"), curves(tmp_path / "two"), strict=True):
        assert theirs == pytest.approx(mine, rel=EXACT)


def test_one_label_a_track_are_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"train": 12, "valid": 4, "test": 4}
    tracks = [track for split, n in counts.items() for track in recordings(n, shortest=CROP, longest=CROP, split=split)]
    shards = write_shards(tmp_path / "shards", tracks, labels=("a", "b", "c", "d"))
    supervised(shards, tmp_path / "run", "--epochs", "1", "--precision", "bf16")
    result = scores_of(tmp_path / "run")
    assert result["protocol"]["task"] == "classes"
    assert result["test"]["accuracy"] in {0.0, 0.25, 0.5, 0.75, 1.0}
    assert "mean over a track's windows of the softmax" in capsys.readouterr().out
    assert np.isfinite(read_log(tmp_path / "run")[0]["loss"])


def test_a_damaged_checkpoint_is_named_and_passed_over(
    shards: Path, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    supervised(shards, tmp_path, *SHORT, "--epochs", "2")
    broken = checkpoints(tmp_path)[-1]
    broken.write_bytes(broken.read_bytes()[:1000])
    supervised(shards, tmp_path, *SHORT)
    assert str(broken) in capfd.readouterr().err
    assert same_state(tmp_path, whole)


def refused(shards: Path, out: Path, *options: str) -> None:
    with pytest.raises(SystemExit):
        supervised(shards, out, *options)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--seed", "1"], "was begun with seed = 0, not 1: repeat that setting or give a new --run"),
        (["--label-fraction", "0.1"], "was begun with label_fraction = 1.0, not 0.1"),
        (["--augment", "official"], "was begun with other augmentations"),
        (["--epochs", "2"], "the run has done 3 epochs, more than --epochs 2"),
        (["--label-fraction", "0"], "--label-fraction 0.0: above 0, at most 1"),
        (["--batch-size", "1"], "--batch-size 1: batch normalisation needs at least 2 windows"),
        (["--dropout", "1"], "--dropout 1.0: at least 0, below 1"),
        (["--task", "classes"], "was begun with task = auto, not classes"),
        (["--augment", "nowhere.toml"], "--augment nowhere.toml: neither a preset"),
        (["--sample-rate", "16000"], "holds 8000 Hz, not 16000 Hz"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_line(
    shards: Path, whole: Path, capfd: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    content = checkpoints(whole)[-1].read_bytes()
    refused(shards, whole, *SHORT, *options)
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert line in errors[0]
    assert checkpoints(whole)[-1].read_bytes() == content


def test_other_shards_and_other_runs_are_refused(
    shards: Path, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    splits = [("train", 12), ("valid", 4), ("test", 4)]
    tracks = [track for split, n in splits for track in recordings(n, shortest=CROP, longest=CROP, split=split)]
    refused(write_shards(tmp_path / "other", tracks, labels=("high", "pulse")), whole, *SHORT)
    assert "the shards of --shards are not those the run was begun with" in capfd.readouterr().err
    refused(write_shards(tmp_path / "bare", tracks), tmp_path / "run")
    assert "carries no labels" in capfd.readouterr().err
    (tmp_path / "pretrained" / "checkpoints").mkdir(parents=True)
    torch.save({}, checkpoint_path(tmp_path / "pretrained", 0))
    (tmp_path / "pretrained" / "config.json").write_text(json.dumps({"settings": {}, "total_steps": 1}))
    refused(shards, tmp_path / "pretrained")
    assert "is a run of train/pretrain.py" in capfd.readouterr().err


def test_a_recipe_of_two_views_is_refused(shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "views.toml").write_text('preset = "paper"\n[first]\npreset = "crop"\n')
    refused(shards, tmp_path / "run", "--augment", str(tmp_path / "views.toml"))
    assert "its two views differ" in capfd.readouterr().err


@pytest.mark.parametrize("batch_size", ["8", "1000"])
def test_a_diverged_run_stops_with_its_last_good_checkpoint(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], batch_size: str
) -> None:
    """Where the loss shows it, and where an epoch's only step is followed by its validation."""
    refused(shards, tmp_path, *SHORT, "--learning-rate", "1e30", "--batch-size", batch_size)
    assert "lower --learning-rate" in capfd.readouterr().err
    assert [load(path)["step"] for path in checkpoints(tmp_path)] == [0]
