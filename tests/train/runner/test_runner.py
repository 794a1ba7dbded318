"""Plans as a user runs them, on a few made-up tracks: kill -9 and going on, tables, transfer, shares of labels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.train.launching import environment
from tests.train.runner.inside import SMALL, TINY, commands_inside, runner
from train.labelled.data import ShuffledWindows
from train.labelled.settings import SupervisedSettings
from train.probing.settings import PRESETS
from train.probing.splits import load_data
from train.ranks.launch import Place
from train.runs.checkpoint import checkpoint_path

RECIPES = ("table2-gain", "table2-crop")


def plan(shards: Path, out: Path, *recipes: str, preset: str = "fast") -> list[str]:
    places = [f"--shards={name}={shards}" for name in ("mtat-song", "mtat-8000", "mtat")]
    return ["run", *recipes, "--out", str(out), "--preset", preset, *places, *SMALL]


@pytest.fixture(scope="module")
def killed(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a plan of two recipes that kill -9 ended while the second one was training."""
    out = tmp_path_factory.mktemp("killed") / "plan"
    command = [sys.executable, "-m", "train.runner", *plan(shards, out, *RECIPES), *TINY]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment(), start_new_session=True, stdout=quiet, stderr=quiet)
    try:
        deadline = time.monotonic() + 150
        while not checkpoint_path(out / RECIPES[1] / "run", 0).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return out


def tables(out: Path, preset: int = 0) -> dict[str, dict[str, Any]]:
    """Rows of tables.json by table and label."""
    content = json.loads((out / "tables.json").read_text())[preset]["tables"]
    return {table["table"]: {row["label"]: row for row in table["rows"]} for table in content}


def test_a_killed_plan_goes_on_skips_what_is_finished_and_prints_the_tables(
    shards: Path, killed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = checkpoint_path(killed / RECIPES[0] / "run", 3).stat().st_mtime_ns
    started = commands_inside(monkeypatch)
    runner(*plan(shards, killed, *RECIPES), *TINY)
    assert started == ["pretrain", "embed", "probe"]  # of the second recipe alone
    assert checkpoint_path(killed / RECIPES[0] / "run", 3).stat().st_mtime_ns == first
    assert checkpoint_path(killed / RECIPES[1] / "run", 3).exists()

    found, scores = tables(killed), {}
    for name, label in zip(RECIPES, ("Gain", "Crop"), strict=True):
        row = found["Table 2"][label]
        scores[label] = json.loads((killed / name / "probe/mtat-8000/fast-linear/scores.json").read_text())["test"][0]
        assert row["cells"]["tag_pr_auc"]["ours"] == {"mean": scores[label]["tag"]["pr_auc"], "deviation": None}
        assert row["cells"]["clip_roc_auc"]["ours"]["mean"] == scores[label]["item"]["roc_auc"]
        assert row["differs"] == ["sample rate 8000", "batch size 8", "steps 3", "width 16", "probed on folder"]
    assert found["Table 6"]["22050"]["cells"] == found["Table 2"]["Crop"]["cells"]
    assert found["Table 2"]["Filter"]["cells"]["tag_pr_auc"] == {"paper": 33.3, "ours": None}

    printed = capsys.readouterr().out
    ours = [f"{100 * scores['Gain'][kind][metric]:.2f}" for kind in ("tag", "item") for metric in ("roc_auc", "pr_auc")]
    numbers = " | ".join(f"{paper} | {own}" for paper, own in zip(("86.2", "31.1", "91.5", "65.1"), ours, strict=True))
    assert f"| Gain | {numbers} | not the paper's: sample rate 8000, batch size 8, steps 3, width 16" in printed
    assert "| Filter | 87.6 | not run | 33.3 | not run | 92.5 | not run | 67.9 | not run |  |" in printed
    assert (
        "Protocol: folder at 8000 Hz, test split of 12 tracks (24 train, 8 valid); untagged tracks included" in printed
    )
    assert "## Table 6" in printed  # the crop is a row of it
    assert "## Table 5" not in printed

    started.clear()
    runner(*plan(shards, killed, *RECIPES), *TINY)
    assert started == []


def test_longer_trainings_go_on_and_everything_behind_them_is_done_again(
    shards: Path, killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = commands_inside(monkeypatch)
    longer = [each if each != "3" else "4" for each in TINY]
    runner(*plan(shards, killed, RECIPES[0]), *longer)
    assert started == ["pretrain", "embed", "probe"]
    started.clear()
    with pytest.raises(SystemExit):  # another width: the program refuses to go on
        runner(*plan(shards, killed, RECIPES[0]), *[each if each != "16" else "24" for each in longer])
    assert started == ["pretrain"]


def test_the_baselines_stand_in_table_1_and_means_have_their_spread(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands_inside(monkeypatch)
    small = ["--cpc-options", "--steps 2 --width 16 --context 16 --batch-size 8"]
    small += ["--supervised-options", "--epochs 1 --width 16 --batch-size 8", "--seeds", "2"]
    runner(*plan(shards, tmp_path, "cpc-mtat", "supervised-mtat", preset="paper"), *small)
    found = tables(tmp_path)["Table 1"]
    cpc, network = found["CPC, MTAT"]["cells"], found["SampleCNN, MTAT"]["cells"]
    scores = json.loads((tmp_path / "cpc-mtat/probe/mtat/paper-mlp/scores.json").read_text())
    assert cpc["mlp_tag_pr_auc"] == {"paper": 33.0, "ours": scores["summary"]["tag"]["pr_auc"]}
    assert cpc["tag_roc_auc"]["ours"]["deviation"] is not None
    assert network["tag_roc_auc"]["ours"]["deviation"] is None
    printed = capsys.readouterr().out
    assert "| Musicnn, MTAT | 89.0 | cited | 34.9 | cited |" in printed
    assert "preset paper, one hidden layer; " in printed
    assert "seeds 0, 1" in printed


def test_transfer_probes_any_encoder_on_any_shards(
    shards: Path, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = commands_inside(monkeypatch)
    source = ["--checkpoint", str(checkpoint_path(killed / RECIPES[0] / "run", 0))]
    command = ["transfer", *source, "--shards", str(shards), "--out", str(tmp_path), "--preset", "fast", *SMALL]
    runner(*command)
    runner(*command)
    assert started == ["embed", "probe"]
    scores = json.loads((tmp_path / "probe/fast-linear/scores.json").read_text())
    row = json.loads((tmp_path / "transfer.json").read_text())[0]
    assert row["cells"]["tag_pr_auc"]["mean"] == scores["test"][0]["tag"]["pr_auc"]
    assert "## Transfer" in capsys.readouterr().out


def test_shares_of_the_labels_are_the_same_songs_for_probe_and_network(
    shards: Path, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = commands_inside(monkeypatch)
    shares = ["--percent", "25", "--percent", "100", "--subsets", "2", "--preset", "fast"]
    network = ["--supervised-options", "--epochs 1 --width 16 --batch-size 8"]
    run = killed / RECIPES[0] / "run"
    runner("labels", "--run", run, "--shards", shards, "--out", tmp_path, *shares, *network, *SMALL)
    assert started == ["embed", *["probe"] * 3, *["supervised"] * 4]
    points = {
        (point["system"], point["percent"]): point
        for point in json.loads((tmp_path / "labels.json").read_text())["points"]
    }
    assert [points["probe", percent]["subsets"] for percent in (25, 100)] == [2, 1]
    assert points["supervised", 25]["tag_pr_auc"]["deviation"] is not None
    assert points["probe", 25]["songs"] == points["probe", 25]["tracks"] == points["supervised", 25]["tracks"] == 6
    for subset in range(2):
        folder = f"percent-25-subset-{subset}"
        asked = {
            name: json.loads((tmp_path / name / folder / "scores.json").read_text())["protocol"]
            for name in ("probe", "supervised")
        }
        assert asked["probe"]["labels"]["subset_seed"] == asked["supervised"]["subset_seed"] == subset
        learnt_from = load_data(
            tmp_path / "features", replace(PRESETS["fast"], label_fraction=0.25, subset_seed=subset)
        )
        settings = SupervisedSettings(shards=str(shards), label_fraction=0.25, subset_seed=subset, seed=subset + 5)
        with ShuffledWindows(settings, Place(0, 1, torch.device("cpu"))) as windows:
            keys = np.array(windows.tracks.table["key"].to_pylist())[windows.used]
        assert sorted(keys) == sorted(learnt_from.train.keys)
        assert len(keys) == 6
    with pytest.raises(SystemExit):
        runner("labels", "--run", run, "--shards", shards, "--out", tmp_path, "--supervised-options", "--seed 5")
