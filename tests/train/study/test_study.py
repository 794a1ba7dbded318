"""The study as a user runs it, in small: going on, refusals, shares side by side, signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clmr.errors import ConfigError
from sharding.format import open_shards, read_manifest
from tests.train.launching import environment
from tests.train.runner.inside import commands_inside
from train.runner.programs import settings_of
from train.runner.stages import Places
from train.study import __main__ as command
from train.study import corpus
from train.study.plan import ALONE, SIZES, StudyPlan, claim, read_plan
from train.study.side_by_side import run_shares
from train.study.systems import PRETRAINED, UNTRAINED, pretraining, units_of

SMALL = replace(SIZES["tiny"], seeds=1, draws=1)


def study(*arguments: str | Path) -> None:
    """``python -m train.study ...`` in this process."""
    command.main.main([str(each) for each in arguments], standalone_mode=False)


def test_a_study_runs_goes_on_and_prints_its_tables(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SIZES, "tiny", SMALL)
    started = commands_inside(monkeypatch)
    asked: list[str | Path] = ["run", "--size", "tiny", "--shards", shards, "--out", tmp_path]
    asked += ["--device", "cpu", "--threads", "1"]
    study(*asked, "--only", "1/4")  # pretrained, crops, filter, untrained
    tested = ["pretrain", "embed", "probe"]  # augmentations alone with all labels; the others with a share too
    assert started == [*tested, "probe", *tested, *tested, *tested, "probe"]
    study(*asked, "--only", "2/14")
    study(*asked, "--only", "14/14")
    assert started[14:] == ["supervised", "embed", "probe", "probe"]
    study(*asked, "--only", "1/4")
    assert len(started) == 18  # all of it was finished
    study("table", "--out", tmp_path)
    numbers = json.loads((tmp_path / "study.json").read_text())
    assert {row["system"] for row in numbers["scores"]} == {
        *(PRETRAINED, UNTRAINED, "crop", "filter", "log-spectrum", "supervised")
    }
    printed = capsys.readouterr().out
    assert "## Each augmentation alone" in printed
    assert "| random scores |" in printed
    assert (tmp_path / "ranking.png").exists()
    assert (tmp_path / "labels.png").exists()
    monkeypatch.setitem(SIZES, "tiny", replace(SMALL, steps=4))
    with pytest.raises(SystemExit):
        study(*asked)
    assert "holds a study of another size or other shards" in capsys.readouterr().err


def test_every_size_is_one_that_the_programs_accept(tmp_path: Path) -> None:
    for plan in SIZES.values():
        settings = [
            settings_of("pretrain.py", (*pretraining(system, plan), "--shards", "s", "--run", str(tmp_path / "run")))
            for system in (PRETRAINED, UNTRAINED, *ALONE)
        ]
        assert [each["steps"] for each in settings] == [
            *(plan.steps, plan.calibration_steps),
            *[plan.steps_alone] * len(ALONE),
        ]
        assert {each["epochs"] for each in settings} == {None}  # the recipe's length gave way
        assert settings[1]["learning_rate"] == 0
        units = units_of(plan, "s", tmp_path, Places())
        assert len({(unit.folder, unit.share) for unit in units}) == len(units)


def test_a_plan_is_read_as_it_was_kept(tmp_path: Path) -> None:
    claim(tmp_path, SIZES["cpu"], "shards")
    claim(tmp_path, SIZES["cpu"], "shards")
    assert read_plan(tmp_path) == (SIZES["cpu"], "shards")
    with pytest.raises(ConfigError, match="other shards"):
        claim(tmp_path, SIZES["cpu"], "others")
    (tmp_path / "plan.json").write_text('{"plan": {"corpus": 3}, "shards": ""}')
    with pytest.raises(ConfigError, match="no plan of a study"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"labels": ()}, "no labels"),
        ({"splits": {"train": ("one",), "test": ("one",)}}, "no tracks in valid"),
        ({"sample_rate": 16000}, "--sample-rate 8000"),
    ],
)
def test_unfit_shards_are_refused_before_anything_is_written(
    shards: Path,
    tmp_path: Path,
    options: dict[str, Any],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unfit = replace(read_manifest(str(shards)), **options)
    monkeypatch.setattr(corpus, "read_manifest", lambda _: unfit)
    with pytest.raises(SystemExit):
        study("run", "--size", "tiny", "--shards", shards, "--out", tmp_path / "out")
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_shares_that_failed_are_named_below_the_tables(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run_shares", lambda *_: ["share-2.log (killed by SIGKILL)"])
    with pytest.raises(SystemExit) as ended:
        study("run", "--size", "tiny", "--shards", shards, "--out", tmp_path, "--jobs", "2")
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "Nothing has been scored yet" in said.out
    assert "share-2.log (killed by SIGKILL)" in said.err


def test_few_labels_have_more_epochs_without_gain() -> None:
    plan: StudyPlan = replace(SIZES["cpu"], supervised_patience=8, supervised_patience_most=60)
    assert [plan.patience(percent) for percent in (100.0, 50.0, 10.0, 1.0)] == [8, 16, 60, 60]


def test_the_corpus_of_a_size_is_played_and_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus.build(SIZES["tiny"], "shards", jobs=2)
    assert len(open_shards("shards").tracks()) == 12
    assert (tmp_path / "data/raw/study-tiny/labels.csv").exists()
    with pytest.raises(ConfigError, match="exit status"):
        corpus.build(replace(SIZES["tiny"], corpus="cpu"), "shards", jobs=1)  # the folder holds another corpus


SHARE = """
import os, pathlib, signal, sys, time
out, only = pathlib.Path(sys.argv[1]), sys.argv[3]
print("share", only, flush=True)
if "fails" in out.name and only == "2/2":
    raise SystemExit("this one fails")
(out / ("done-" + only[0])).touch()
if "killed" in out.name and only == "2/2":
    os.kill(os.getpid(), signal.SIGKILL)
if "waits" in out.name:
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("name", "ending"), [("works", None), ("fails", "exit status 1"), ("killed", "killed by SIGKILL")]
)
def test_shares_run_at_once_each_with_its_log(tmp_path: Path, name: str, ending: str | None) -> None:
    out = tmp_path / name
    out.mkdir()
    failed = run_shares(["-c", SHARE, str(out)], 2, out, 2, lambda: len(list(out.glob("done-*"))))
    assert failed == ([] if ending is None else [f"{out / 'share-2.log'} ({ending})"])
    assert ("this one fails" in (out / "share-2.log").read_text()) == (name == "fails")
    assert (out / "share-1.log").read_text() == "share 1/2\n"
    assert (out / "done-1").exists()


def test_a_signal_ends_all_shares(tmp_path: Path) -> None:
    out = tmp_path / "waits"
    out.mkdir()
    text = (
        f"import pathlib; from train.study.side_by_side import run_shares; out = pathlib.Path({str(out)!r}); "
        f"run_shares(['-c', {SHARE!r}, {str(out)!r}], 2, out, 2, lambda: 0)"
    )
    process = subprocess.Popen([sys.executable, "-c", text], env=environment(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(out.glob("done-*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped; the same command goes on from there" in said
