"""Presets, the choice of the L2 strength, the check by scikit-learn, and what the command refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from tests.train.made_up_features import run_probe, write_features
from train.probe import choose_settings
from train.probing.fitting import WORSE, fit_at_once, validation_score
from train.probing.head import HeadSettings
from train.probing.independent import compare
from train.probing.settings import PRESETS
from train.probing.splits import load_data

FAST = PRESETS["fast"]


@pytest.fixture(scope="module", params=["tags", "classes"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fitting") / "features"
    return write_features(place, signal=0.7, classes=request.param == "classes", unseen_tag=True)


def test_presets_are_as_published() -> None:
    """Paper section 2.9; the authors' linear evaluation, version 2."""
    paper, official = PRESETS["paper"], PRESETS["official"]
    assert paper.head == HeadSettings(learning_rate=3e-4, weight_decay=1e-6, patience=5, decay_patience=None)
    assert (paper.stop_by, paper.last_window, paper.one_window, paper.aggregation) == (
        "score",
        "keep",
        False,
        "probability",
    )
    assert (official.head.learning_rate, official.head.weight_decay, official.head.batch_size) == (1e-3, 1e-6, 48)
    assert (official.head.patience, official.head.decay_patience, official.head.max_epochs) == (10, 5, 200)
    assert (official.head.keep, official.stop_by, official.last_window) == ("last", "loss", "official")
    assert official.one_window
    assert not official.standardise


def test_options_stand_in_the_presets_place() -> None:
    given: dict[str, Any] = {"learning_rate": 0.1, "kind": "mlp", "batch_size": None, "untagged": "drop"}
    chosen = choose_settings("official", **given)
    expected = replace(PRESETS["official"].head, learning_rate=0.1, kind="mlp")
    assert chosen == replace(PRESETS["official"], head=expected, untagged="drop")


def test_the_penalty_is_the_validation_splits_choice(folder: Path) -> None:
    data = load_data(folder, FAST)
    fitted = fit_at_once(data.train, data.valid, FAST, data.task)
    tried = fitted.chosen["penalties_tried"]
    scores = [score for _, score in tried]
    best = scores.index(max(scores))
    assert fitted.chosen["penalty"] == tried[best][0]
    assert fitted.validation_score == scores[best] == validation_score(fitted.head, data.valid, FAST, data.task)
    assert [penalty for penalty, _ in tried] == list(FAST.penalties[: len(tried)])
    assert len(tried) in {best + 1 + WORSE, len(FAST.penalties)}


def test_scikit_learn_finds_the_same(folder: Path) -> None:
    data = load_data(folder, FAST)
    for penalty in (0.1, 1e-3):
        settings = replace(FAST, penalties=(penalty,))
        fitted = fit_at_once(data.train, data.valid, settings, data.task)
        found = compare(fitted, data.train, data.valid, settings, data.task)
        assert found["largest_probability_difference"] < 1e-3
        assert found["scikit_learn"] == pytest.approx(found["validation_score"], abs=5e-3)


def test_the_check_is_printed_and_saved(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_probe(folder, tmp_path, "--preset", "fast", "--check")
    assert result["check"]["largest_probability_difference"] < 1e-3
    printed = capsys.readouterr().out
    assert "check     validation score 0." in printed
    assert "nothing is drawn" in printed
    assert "1 tags without a training track: never" in printed
    assert result["protocol"]["labels"]["tags_without_positives"] == ["never"]


@pytest.mark.parametrize("aggregation", ["probability", "logit", "feature"])
@pytest.mark.parametrize("preset", ["paper", "fast"])
def test_every_aggregation_finds_the_classes(tmp_path: Path, aggregation: str, preset: str) -> None:
    folder = write_features(tmp_path / "features", signal=6.0, classes=True)
    quick = ["--learning-rate", "1e-1", "--seeds", "1"] if preset == "paper" else []
    result = run_probe(folder, tmp_path / "out", "--preset", preset, "--aggregation", aggregation, *quick)
    assert result["protocol"]["task"] == "classes"
    assert result["summary"]["accuracy"]["mean"] > 0.9
    with np.load(tmp_path / "out" / "predictions.npz") as saved:
        guessed, truth = saved["probabilities"].argmax(axis=1), saved["labels"].argmax(axis=1)
        np.testing.assert_allclose(saved["probabilities"].sum(axis=1), 1)
    assert result["test"][0]["accuracy"] == pytest.approx(accuracy_score(truth, guessed))


def test_a_hidden_layer_and_the_official_code(folder: Path, tmp_path: Path) -> None:
    options = ["--head", "mlp", "--seeds", "2", "--max-epochs", "8"]
    result = run_probe(folder, tmp_path, "--preset", "official", *options)
    assert result["protocol"]["head"]["kind"] == "mlp"
    assert result["protocol"]["last_windows_dropped"]["test"] > 0
    assert [head["best_epoch"] for head in result["test"]] == [8, 8], "the last one's weights"
    assert result["test"][0]["tag"] != result["test"][1]["tag"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "fast", "--patience", "3"), "--patience is Adam's"),
        (("--preset", "fast", "--head", "mlp"), "--head mlp: the fast preset fits a linear head"),
        (("--check",), "--check compares the minimum of a convex function; give --preset fast"),
        (("--label-fraction", "0"), "--label-fraction 0: give a share above 0"),
        (("--preset", "official", "--aggregation", "feature"), "--aggregation feature averages windows"),
        (("--learning-rate", "inf", "--seeds", "1"), "--learning-rate inf: give a finite rate above 0"),
    ],
)
def test_what_excludes_each_other_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit):
        run_probe(folder, tmp_path / "out", *options)
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()
