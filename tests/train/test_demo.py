"""The demo's chain in small, through the real commands, and the arithmetic of its table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clmr.errors import ConfigError
from sharding.datasets.demo import make_corpus
from tests.train.made_up_features import write_features
from train.demo import THREAD_SPINS, DemoPlaces, DemoPlan, claim, run_chain, run_command, write_report
from train.demo_table import SPECTRUM, Systems, chance_scores, score_table, tag_table, verdict
from train.spread import Spread


def system(roc: list[float]) -> dict[str, object]:
    others = {metric: [0.5] * len(roc) for metric in ("tag_pr_auc", "item_roc_auc", "item_pr_auc")}
    return {"tag_roc_auc": roc, **others, "per_tag": {"a": roc, "b": [0.5]}}


SYSTEMS: Systems = {
    SPECTRUM: system([0.9]),
    "untrained": system([0.6, 0.7]),
    "pretrained": system([0.8, 0.68]),
}


def test_the_whole_chain_in_small(tmp_path: Path) -> None:
    """Synthesised MP3, OGG, FLAC and WAV files to a table of scores: every stage is the command a user types."""
    places = DemoPlaces(tmp_path / "music", tmp_path / "shards", tmp_path / "runs")
    make_corpus(places.source, songs=30, jobs=2)
    plan = DemoPlan(dataset="folder", steps=3, calibration_steps=2, seeds=1, width=16, batch_size=6, heads=1)
    systems = run_chain(plan, places, jobs=2)
    assert list(systems) == ["chance", SPECTRUM, "untrained", "pretrained"]
    text = write_report(plan, places.work, systems)
    assert "What these numbers do not show" in text
    assert json.loads((places.work / "demo.json").read_text(encoding="utf-8"))["systems"] == systems
    with Image.open(places.work / "loss.png") as picture:
        assert picture.size[0] > 1000


def test_runs_of_another_plan_are_not_reported_as_ours(tmp_path: Path) -> None:
    claim(tmp_path, DemoPlan())
    claim(tmp_path, DemoPlan())
    with pytest.raises(ConfigError, match="rm -r"):
        claim(tmp_path, DemoPlan(steps=7))


def test_threads_of_the_commands_spin_little_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    read = "import os; raise SystemExit(os.environ['GOMP_SPINCOUNT'] != '{}')"
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    run_command(["-c", read.format(THREAD_SPINS)])
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    run_command(["-c", read.format(7)])
    with pytest.raises(ConfigError, match="exit status 1"):
        run_command(["-c", read.format(8)])


def test_verdict_counts_gains_and_names_the_defeat() -> None:
    assert "in 1 of 2 seeds" in verdict(SYSTEMS)
    assert "+0.2000, -0.0200" in verdict(SYSTEMS)
    assert "BEHIND the log-spectrum statistics, which learn nothing, by 0.1600" in verdict(SYSTEMS)


def test_table_has_every_system_and_a_spread_where_there_are_seeds() -> None:
    lines = score_table(SYSTEMS).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == list(SYSTEMS)
    assert lines[2].startswith(f"| {SPECTRUM} | 0.9000 |")
    assert "0.6500 +- 0.0707" in lines[3]


def test_gains_come_first_and_losses_last() -> None:
    systems = {**SYSTEMS, "pretrained": {**SYSTEMS["pretrained"], "per_tag": {"a": [0.1, 0.1], "b": [0.9]}}}
    assert [line.split("|")[1].strip() for line in tag_table(systems, "untrained").splitlines()[2:]] == ["b", "a"]


def test_chance_is_what_random_scores_reach(tmp_path: Path) -> None:
    """ROC-AUC of random scores is a half in the mean; PR-AUC is a little above the share of positives."""
    chance = chance_scores(write_features(tmp_path / "features", signal=0.0))
    assert abs(chance["tag_roc_auc"][0] - 0.5) < 0.02
    assert abs(chance["item_roc_auc"][0] - 0.5) < 0.02
    assert 0.3 < chance["tag_pr_auc"][0] < 0.6


@pytest.mark.parametrize(("values", "text"), [([0.5], "0.5000"), ([0.4, 0.6], "0.5000 +- 0.1414")])
def test_spread(values: list[float], text: str) -> None:
    assert str(Spread.of(values)) == text
    assert Spread.of(values).mean == pytest.approx(np.mean(values))
