"""The demo's chain in small, through the real commands, and the arithmetic of its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from sharding.datasets.demo import make_corpus
from train.demo import DemoPlaces, DemoPlan, run_chain, spread, table, verdict, write_report

SYSTEMS = {
    "untrained": {
        "tag_roc_auc": [0.6, 0.7],
        "tag_pr_auc": [0.5, 0.5],
        "item_roc_auc": [0.6, 0.6],
        "item_pr_auc": [0.4, 0.4],
        "per_tag": {"a": [0.6, 0.7]},
        "prevalence": 0.35,
    },
    "pretrained": {
        "tag_roc_auc": [0.8, 0.68],
        "tag_pr_auc": [0.6, 0.6],
        "item_roc_auc": [0.7, 0.7],
        "item_pr_auc": [0.5, 0.5],
        "per_tag": {"a": [0.8, 0.68]},
        "prevalence": 0.35,
    },
}


def test_the_whole_chain_in_small(tmp_path: Path) -> None:
    """Synthesised MP3, OGG, FLAC and WAV files to a table of scores: every stage is the command a user types."""
    places = DemoPlaces(tmp_path / "music", tmp_path / "shards", tmp_path / "runs")
    make_corpus(places.source, songs=30, jobs=2)
    plan = DemoPlan(dataset="folder", steps=3, calibration_steps=2, seeds=1, width=16, batch_size=6, heads=1)
    systems = run_chain(plan, places, jobs=2)
    assert list(systems) == ["log-spectrum statistics", "untrained", "pretrained"]
    text = write_report(plan, places.work, systems)
    assert "What these numbers do not show" in text
    assert json.loads((places.work / "demo.json").read_text(encoding="utf-8"))["systems"] == systems
    with Image.open(places.work / "loss.png") as picture:
        assert picture.size[0] > 1000


def test_verdict_counts_the_seeds_that_gained() -> None:
    assert "in 1 of 2 seeds" in verdict(SYSTEMS, "untrained")
    assert "+0.2000, -0.0200" in verdict(SYSTEMS, "untrained")


def test_table_has_chance_and_every_system() -> None:
    lines = table(SYSTEMS, 2).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["chance", "untrained", "pretrained"]
    assert "0.3500" in lines[2]
    assert "0.6500 +- 0.0707" in lines[3]


@pytest.mark.parametrize(("values", "text"), [([0.5], "0.5000"), ([0.4, 0.6], "0.5000 +- 0.1414")])
def test_spread(values: list[float], text: str) -> None:
    assert spread(values) == text
