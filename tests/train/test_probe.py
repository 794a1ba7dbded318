"""The probe's protocol on features whose answer is known, and the files it leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from clmr.metrics import tag_metrics
from train.features import open_features
from train.head import HeadSettings, fit_head
from train.probe import load_splits, main
from train.probe import probe as run_probe

RNG_SEED = 5


def write_features(folder: Path, *, signal: float, unseen_tag: bool = False, poison: bool = False) -> Path:
    """120 tracks of 1 to 4 windows, 8 features; tags a and b are linear in them with strength ``signal``."""
    rng = np.random.default_rng(RNG_SEED)
    windows = rng.integers(1, 5, 120)
    split = np.array(["train"] * 60 + ["valid"] * 30 + ["test"] * 30)
    tags = rng.random((120, 2)) < 0.4
    tags[60:64] = tags[90:94] = [[True, False], [False, True], [True, True], [False, False]]
    matrix = rng.standard_normal((windows.sum(), 8)).astype(np.float32)
    matrix[:, :2] += signal * np.repeat(tags, windows, axis=0)
    if poison:
        matrix[-1, 3] = np.nan
    names = ["a", "b", *(["never"] if unseen_tag else [])]
    labels = [[name for name, on in zip("ab", row, strict=True) if on] for row in tags]
    folder.mkdir()
    np.save(folder / "features.npy", matrix)
    table = {
        "key": [f"track-{number}" for number in range(120)],
        "split": split.tolist(),
        "song_id": [f"song-{number}" for number in range(120)],
        "labels": labels,
        "first": (np.cumsum(windows) - windows).tolist(),
        "windows": windows.tolist(),
    }
    pq.write_table(pa.table(table), folder / "tracks.parquet")
    origin = {"encoder": "made up", "dataset": "test", "sample_rate": 8000, "labels": names}
    shape = {"windows": len(matrix), "width": 8, "tracks": 120}
    (folder / "features.json").write_text(json.dumps({**origin, **shape}), encoding="utf-8")
    return folder


def probe(features: Path, out: Path, *options: str) -> dict[str, Any]:
    arguments = ["--features", str(features), "--out", str(out), "--learning-rate", "1e-2", "--patience", "20"]
    main.main([*arguments, *options], standalone_mode=False)
    result = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert isinstance(result, dict)
    return result


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
    rows = pq.read_table(tmp_path / "features" / "tracks.parquet").to_pylist()[90:]
    mixed = sum(len(row["labels"]) == 1 for row in rows)
    assert result["test"][0]["item"]["counted"] == mixed
    assert result["test"][0]["item"]["skipped_without_positives"] == sum(not row["labels"] for row in rows)


def test_scores_are_scikit_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reported numbers equal scikit-learn's on the probabilities of the test tracks."""
    kept: list[Any] = []

    original = tag_metrics

    def spy(labels: Any, scores: Any) -> Any:
        kept.append((np.array(labels), np.array(scores)))
        return original(labels, scores)

    monkeypatch.setattr("train.probe.tag_metrics", spy)
    result = probe(write_features(tmp_path / "features", signal=1.0), tmp_path / "out", "--seeds", "1")
    labels, scores = kept[-1]
    assert len(labels) == 30
    assert result["test"][0]["tag"]["roc_auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert result["test"][0]["tag"]["pr_auc"] == pytest.approx(average_precision_score(labels, scores))


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


@pytest.mark.parametrize("damage", ["missing", "nan", "no labels", "no test"])
def test_unfit_features_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    folder = write_features(tmp_path / "features", signal=1.0, poison=damage == "nan")
    described = folder / "features.json"
    origin = json.loads(described.read_text(encoding="utf-8"))
    if damage == "missing":
        described.unlink()
    if damage == "no labels":
        table = pq.read_table(folder / "tracks.parquet")
        empty = pa.array([[]] * 120, pa.list_(pa.string()))
        pq.write_table(
            table.set_column(table.schema.get_field_index("labels"), "labels", empty), folder / "tracks.parquet"
        )
        described.write_text(json.dumps({**origin, "labels": []}), encoding="utf-8")
    if damage == "no test":
        table = pq.read_table(folder / "tracks.parquet")
        splits = pa.array(["train"] * 90 + ["valid"] * 30)
        pq.write_table(
            table.set_column(table.schema.get_field_index("split"), "split", splits), folder / "tracks.parquet"
        )
    with pytest.raises(SystemExit) as stopped:
        probe(folder, tmp_path / "out")
    errors = capsys.readouterr().err
    assert stopped.value.code == 1
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def edit_split(folder: Path, split: str, *, seed: int) -> None:
    """Give the windows and labels of one split other values."""
    rng = np.random.default_rng(seed)
    table = pq.read_table(folder / "tracks.parquet")
    rows = table.to_pylist()
    matrix = np.load(folder / "features.npy")
    for row in rows:
        if row["split"] == split:
            matrix[row["first"] : row["first"] + row["windows"]] = 9 * rng.standard_normal((row["windows"], 8)) - 4
            row["labels"] = [tag for tag in "ab" if rng.random() < 0.5]
    np.save(folder / "features.npy", matrix)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "tracks.parquet")


def trained(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Standardised training windows and the head that comes of them, with its epoch."""
    splits = load_splits(open_features(folder))
    kept: dict[str, Any] = {}
    original = fit_head

    def spy(*arguments: Any) -> Any:
        head, epoch, best = original(*arguments)
        kept.update(head.state_dict(), epoch=epoch)
        return head, epoch, best

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.probe.fit_head", spy)
        run_probe(splits, ("a", "b"), HeadSettings(learning_rate=1e-2, patience=5), 0)
    return {"windows": splits["train"].features}, kept


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


def test_validation_stops_the_head_but_standardises_nothing(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    windows, head = trained(folder)
    edit_split(folder, "valid", seed=2)
    windows_after, head_after = trained(folder)
    assert same(windows, windows_after)
    assert not same(head, head_after)


def test_a_test_split_without_variation_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    table = pq.read_table(folder / "tracks.parquet")
    rows = [{**row, "labels": [] if row["split"] == "test" else row["labels"]} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "tracks.parquet")
    with pytest.raises(SystemExit):
        probe(folder, tmp_path / "out")
    assert "nothing to score" in capsys.readouterr().err
