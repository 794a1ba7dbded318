"""The probe's protocol on features whose answer is known, and the files it leaves."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.train.made_up_features import edit_split, rewrite, rows_of, run_probe, write_features
from train.probing.fitting import fit_heads
from train.probing.head import HeadSettings
from train.probing.settings import PRESETS
from train.probing.splits import load_data

QUICK = ("--learning-rate", "1e-2", "--patience", "20", "--max-epochs", "60")


def probe(features: Path, out: Path, *options: str) -> dict[str, Any]:
    return run_probe(features, out, *QUICK, *options)


def test_separable_features_score_near_one(tmp_path: Path) -> None:
    result = probe(write_features(tmp_path / "features", signal=6.0), tmp_path / "out")
    assert result["summary"]["tag"]["roc_auc"]["mean"] > 0.95
    assert result["summary"]["item"]["roc_auc"]["mean"] > 0.95


def test_noise_scores_near_a_half(tmp_path: Path) -> None:
    """30 test tracks: the ROC-AUC of chance has a deviation of about .11 for a tag, .08 for the mean of two."""
    result = probe(write_features(tmp_path / "features", signal=0.0), tmp_path / "out")
    assert abs(result["summary"]["tag"]["roc_auc"]["mean"] - 0.5) < 4 * 0.08


def test_tag_without_positives_is_skipped_and_counted(tmp_path: Path) -> None:
    plain = probe(write_features(tmp_path / "plain", signal=2.0), tmp_path / "plain-out")
    wider = probe(write_features(tmp_path / "wider", signal=2.0, unseen_tag=True), tmp_path / "wider-out")
    for head in wider["test"]:
        assert head["tag"]["counted"] == 2
        assert head["tag"]["skipped_without_positives"] == 1
        assert set(head["tag"]["per_tag"]) == {"a", "b"}
    assert np.isfinite(wider["summary"]["tag"]["roc_auc"]["mean"])
    assert plain["test"][0]["tag"]["skipped_without_positives"] == 0


def test_untagged_tracks_are_left_out_of_the_item_scores(tmp_path: Path) -> None:
    result = probe(write_features(tmp_path / "features", signal=2.0), tmp_path / "out")
    rows = rows_of(tmp_path / "features")[90:]
    mixed = sum(len(row["labels"]) == 1 for row in rows)
    assert result["test"][0]["item"]["counted"] == mixed
    assert result["test"][0]["item"]["skipped_without_positives"] == sum(not row["labels"] for row in rows)


def test_scores_are_scikit_learns_on_the_saved_predictions(tmp_path: Path) -> None:
    result = probe(write_features(tmp_path / "features", signal=1.0), tmp_path / "out", "--seeds", "2")
    with np.load(tmp_path / "out" / "predictions.npz") as saved:
        assert saved["keys"].tolist() == [f"track-{number}" for number in range(90, 120)]
        assert saved["tags"].tolist() == ["a", "b"]
        labels, each = saved["labels"], saved["every_seed"]
        assert np.array_equal(saved["probabilities"], each[0])
    assert len(labels) == 30
    for head, scores in zip(result["test"], each, strict=True):
        assert head["tag"]["roc_auc"] == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
        assert head["tag"]["pr_auc"] == pytest.approx(average_precision_score(labels, scores), rel=1e-12)


def test_per_tag_csv_agrees_with_the_json(tmp_path: Path) -> None:
    result = probe(write_features(tmp_path / "features", signal=1.0), tmp_path / "out", "--seeds", "2")
    with (tmp_path / "out" / "tags.csv").open(encoding="utf-8") as file:
        rows = {row["tag"]: row for row in csv.DictReader(file)}
    for tag in ("a", "b"):
        values = [head["tag"]["per_tag"][tag]["roc_auc"] for head in result["test"]]
        assert float(rows[tag]["roc_auc"]) == pytest.approx(np.mean(values), abs=1e-6)
        assert float(rows[tag]["roc_auc_deviation"]) == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    tag_mean = np.mean([float(row["pr_auc"]) for row in rows.values()])
    assert result["summary"]["tag"]["pr_auc"]["mean"] == pytest.approx(tag_mean, abs=1e-6)


def test_protocol_is_printed_and_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = probe(write_features(tmp_path / "features", signal=1.0), tmp_path / "out")
    assert result["protocol"]["tracks"] == {"train": 60, "valid": 30, "test": 30}
    assert result["protocol"]["seeds"] == [0, 1, 2]
    printed = capsys.readouterr().out
    assert "60 train, 30 valid, 30 test" in printed
    assert "made up" in printed


@pytest.mark.parametrize(
    "damage",
    ["missing", "nan", "no labels", "no test", "a list", "no split", "no song", "outside", "no windows", "half"],
)
def test_unfit_features_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    folder = write_features(tmp_path / "features", signal=1.0, poison=damage == "nan")
    described = folder / "features.json"
    origin = json.loads(described.read_text(encoding="utf-8"))
    if damage == "missing":
        described.unlink()
    if damage == "no labels":
        rewrite(folder, [{**row, "labels": []} for row in rows_of(folder)])
        described.write_text(json.dumps({**origin, "labels": []}), encoding="utf-8")
    if damage == "a list":
        described.write_text("[1]", encoding="utf-8")
    if damage in {"no split", "no song"}:
        column = {"no split": "split", "no song": "song_id"}[damage]
        table = pq.read_table(folder / "tracks.parquet").drop_columns([column])
        pq.write_table(table, folder / "tracks.parquet")
    if damage in {"outside", "no windows"}:
        wrong = {"outside": {"first": -1}, "no windows": {"windows": 0}}[damage]
        rows = rows_of(folder)
        rewrite(folder, [{**rows[0], **wrong}, *rows[1:]])
    if damage == "half":
        np.save(folder / "features.npy", np.load(folder / "features.npy").astype(np.float16))
    if damage == "no test":
        splits = ["train"] * 90 + ["valid"] * 30
        rewrite(folder, [{**row, "split": split} for row, split in zip(rows_of(folder), splits, strict=True)])
    with pytest.raises(SystemExit) as stopped:
        probe(folder, tmp_path / "out")
    errors = capsys.readouterr().err
    assert stopped.value.code == 1
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def trained(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Standardised training windows and the head that comes of them, with its epoch."""
    settings = replace(PRESETS["paper"], head=HeadSettings(learning_rate=1e-2, patience=5))
    data = load_data(folder, settings)
    (fitted,) = fit_heads(data.train, data.valid, settings, data.task, [0])
    return {"windows": data.train.features}, {**fitted.head.state_dict(), **fitted.chosen}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(
        torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        for name, value in one.items()
    )


def test_nothing_of_the_test_split_reaches_the_head(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    windows, head = trained(folder)
    edit_split(folder, "test", seed=1)
    windows_after, head_after = trained(folder)
    assert same(windows, windows_after)
    assert same(head, head_after)


@pytest.mark.parametrize("preset", ["paper", "official", "fast"])
def test_the_test_labels_change_nothing_but_the_test_scores(tmp_path: Path, preset: str) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    options = ["--preset", preset, "--seeds", "1"]
    before = run_probe(folder, tmp_path / "before", *options)
    edit_split(folder, "test", seed=3, windows=False)
    after = run_probe(folder, tmp_path / "after", *options)
    assert before["summary"] != after["summary"]
    for result in (before, after):
        for name in ("test_prevalence", "untagged_tracks"):  # these describe the test labels
            del result["protocol"][name]
        for head in result["test"]:
            del head["tag"], head["item"]
    assert before["protocol"] == after["protocol"]
    assert before["test"] == after["test"]
    with (
        np.load(tmp_path / "before" / "predictions.npz") as ours,
        np.load(tmp_path / "after" / "predictions.npz") as theirs,
    ):
        assert np.array_equal(ours["every_seed"], theirs["every_seed"])


def test_validation_stops_the_head_but_standardises_nothing(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    windows, head = trained(folder)
    edit_split(folder, "valid", seed=2)
    windows_after, head_after = trained(folder)
    assert same(windows, windows_after)
    assert not same(head, head_after)


def test_a_test_split_without_variation_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    rewrite(folder, [{**row, "labels": [] if row["split"] == "test" else row["labels"]} for row in rows_of(folder)])
    with pytest.raises(SystemExit):
        probe(folder, tmp_path / "out")
    assert "nothing to score" in capsys.readouterr().err


def test_a_head_that_hardly_moved_from_its_draw_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_features(tmp_path / "features", signal=2.0)
    few = run_probe(folder, tmp_path / "few")  # one step an epoch: patience ends it at once
    assert [head["steps"] for head in few["test"]] == [head["best_epoch"] for head in few["test"]]
    lowest, needed = min(head["steps"] for head in few["test"]), math.ceil(8**-0.5 / 3e-4)
    warned = f"warning: a head was chosen after {lowest} steps of Adam, and it takes {needed:,} to move"
    assert capsys.readouterr().err.startswith(warned)
    many = run_probe(folder, tmp_path / "many", "--batch-size", "16", "--patience", "100", "--learning-rate", "3e-3")
    run_probe(folder, tmp_path / "fast", "--preset", "fast")
    assert capsys.readouterr().err == ""
    assert many["summary"]["tag"]["roc_auc"]["mean"] > few["summary"]["tag"]["roc_auc"]["mean"] + 0.2


@pytest.mark.parametrize(
    ("option", "value"), [("learning-rate", "-1"), ("learning-rate", "inf"), ("weight-decay", "nan")]
)
def test_settings_of_adam_that_no_head_learns_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit):
        probe(tmp_path, tmp_path / "out", f"--{option}", value)
    assert capsys.readouterr().err.startswith(f"error: --{option} {value}: give ")
