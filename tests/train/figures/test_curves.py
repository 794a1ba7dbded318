"""Figures of scores: their numbers are those of the folders, and the paper's stand beside its own data set only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clmr import SampleCNN
from clmr.errors import ConfigError, FeatureError
from tests.train.figures.made_up import check_written, write_scores
from train.figures.epochs import draw_epochs
from train.figures.labels import draw_labels, paper_points
from train.figures.parameters import count_parameters, draw_parameters
from train.figures.probability import draw_probability
from train.figures.scores import Scored, by_name, read_scores
from train.figures.tags import draw_tags

HEADS = [(0.8, 0.3), (0.82, 0.34)]


def test_labels(tmp_path: Path) -> None:
    given = []
    for share in (0.01, 0.1, 1.0):
        folder = write_scores(
            tmp_path / "probes" / str(share), [(0.8, share / 2), (0.8, share / 2 + 0.1)], labels={"fraction": share}
        )
        assert read_scores(folder).label_fraction == share
    write_scores(tmp_path / "supervised", [(0.7, 0.2)], label_fraction=0.01)
    given = [f"ours={tmp_path / 'probes'}", f"supervised={tmp_path / 'supervised'}"]
    draw_labels(by_name(given), tmp_path / "out")
    document = check_written(tmp_path / "out", "labels")
    ours = [row for row in document["rows"] if row["system"] == "ours"]
    assert [row["label_fraction"] for row in ours] == [0.01, 0.1, 1.0]
    assert [row["mean"] for row in ours] == pytest.approx([0.055, 0.1, 0.55])
    assert [row["deviation"] for row in ours] == pytest.approx([0.1 / np.sqrt(2)] * 3)
    assert document["rows"][3]["system"] == "supervised"
    assert document["rows"][3]["deviation"] is None
    assert document["paper"] == [], "the demo's scores do not compare with the paper's"


def test_labels_of_magnatagatune_have_the_papers_points(tmp_path: Path) -> None:
    scored = {"ours": [read_scores(write_scores(tmp_path / "a", HEADS, dataset="mtat", label_fraction=0.01))]}
    draw_labels(scored, tmp_path / "out")
    points = check_written(tmp_path / "out", "labels")["paper"]
    assert {"model": "CLMR", "label_fraction": 0.01, "mean": pytest.approx(0.331)} in points
    assert {"model": "SampleCNN", "label_fraction": 0.01, "mean": pytest.approx(0.248)} in points
    assert draw_labels(scored, tmp_path / "out", paper=False).facts["paper"] == []
    assert paper_points("Figure 5", "tag.roc_auc") == [], "the figures are of PR-AUC"


def test_tags_are_sorted_and_spread_over_runs_or_heads(tmp_path: Path) -> None:
    runs = [
        read_scores(write_scores(tmp_path / f"run-{index}", HEADS[:1], tags={"low": 0.6, "high": value, "own": 0.7}))
        for index, value in enumerate((0.8, 0.9))
    ]
    other = [read_scores(write_scores(tmp_path / "other", HEADS, tags={"low": 0.5, "high": 0.7}))]
    draw_tags({"pretrained": runs, "untrained": other}, tmp_path / "out")
    document = check_written(tmp_path / "out", "tags")
    assert [row["tag"] for row in document["rows"]] == ["high", "low"]
    assert document["left_out"] == 1
    first = document["rows"][0]
    assert first["pretrained"] == pytest.approx(0.85)
    assert first["pretrained deviation"] == pytest.approx(0.1 / np.sqrt(2)), "over two runs"
    assert first["untrained deviation"] == pytest.approx(0.01 / np.sqrt(2)), "over two heads of one run"


def test_epochs_of_runs_and_of_finished_runs(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    entry = {"shards": "demo", "roc_auc": 0.6, "valid_tracks": 20}
    lines = [{"step": step, "epoch": step / 2, "pr_auc": 0.2 + step / 100, **entry} for step in (0, 2, 4)]
    (run / "probe.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    scored = {100.0: [read_scores(write_scores(tmp_path / "probe", HEADS))]}
    draw_epochs({"ours": run}, scored, tmp_path / "out", paper=True)
    document = check_written(tmp_path / "out", "epochs")
    assert [row["epochs"] for row in document["rows"]] == [0, 1, 2, 100]
    assert [row["mean"] for row in document["rows"]] == pytest.approx([0.2, 0.22, 0.24, 0.32])
    assert {row["split"] for row in document["rows"][:3]} == {"valid"}
    assert document["paper"][0] == {"epochs": 100, "mean": pytest.approx(0.309)}
    with pytest.raises(FeatureError, match=r"probe\.jsonl holds no item\.pr_auc; pretrain with --probe-every"):
        draw_epochs({"ours": run}, {}, tmp_path / "out", "item.pr_auc")
    with pytest.raises(ConfigError, match="give --run NAME=DIR, --probe EPOCHS=DIR or both"):
        draw_epochs({}, {}, tmp_path / "out")


def test_parameters_are_counted_in_the_checkpoint(tmp_path: Path) -> None:
    import torch

    encoder = SampleCNN(8000, 16)
    file = tmp_path / "step-00000001.pt"
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({"step": 1, "model": state, "encoder_config": {"sample_rate": 8000, "width": 16}}, file)
    systems = by_name([f"ours={write_scores(tmp_path / 'a', HEADS, encoder=str(file))}"])
    draw_parameters(systems, tmp_path / "out", paper=True)
    document = check_written(tmp_path / "out", "parameters")
    assert document["rows"][0]["parameters"] == sum(each.numel() for each in encoder.parameters())
    assert document["rows"][0]["mean"] == pytest.approx(0.32)
    assert {each["model"]: each["millions"] for each in document["paper"]}["CLMR"] == 2.5
    file.unlink()
    with pytest.raises(FeatureError, match=r"parameters of ours are unknown .*; give --parameters ours=COUNT"):
        draw_parameters(systems, tmp_path / "out")
    assert draw_parameters(systems, tmp_path / "out", counts={"ours": 7}).rows[0]["parameters"] == 7


def test_parameters_of_a_supervised_run_are_in_its_configuration(tmp_path: Path) -> None:
    run = Scored(tmp_path, {"width": 16}, ())
    (tmp_path / "config.json").write_text('{"parameters": 4321}')
    assert count_parameters(run, "supervised") == 4321
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FeatureError, match=r"config\.json is damaged .*; give --parameters supervised=COUNT"):
        count_parameters(run, "supervised")


def test_probability(tmp_path: Path) -> None:
    scored: dict[tuple[str, float], list[Scored]] = {
        (name, chance): [read_scores(write_scores(tmp_path / f"{name}-{chance}", [(0.8, 0.3 + chance / 10)]))]
        for name in ("filter", "gain", "delay")
        for chance in (0.8, 0.0, 0.4)
    }
    draw_probability(scored, tmp_path / "out", paper=True)
    document = check_written(tmp_path / "out", "probability")
    filters = [row for row in document["rows"] if row["augmentation"] == "filter"]
    assert [(row["probability"], row["mean"]) for row in filters] == [
        (0, 0.3),
        (0.4, pytest.approx(0.34)),
        (0.8, pytest.approx(0.38)),
    ]
    assert document["paper_best"] == {"filter": 0.8, "delay": 0.4}, "of gain the text names none"
    assert {"augmentation": "filter", "probability": 1.0, "mean": pytest.approx(0.333)} in document["paper"]


def test_one_figure_compares_scores_of_one_test_set(tmp_path: Path) -> None:
    write_scores(tmp_path / "a", HEADS)
    write_scores(tmp_path / "b", HEADS, dataset="mtat")
    with pytest.raises(ConfigError, match=r"a is scored on 24 test tracks of demo, .*b on 24 of mtat"):
        draw_tags(by_name([f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()
