"""The benchmark of the trainer: its contenders do the same work, and its page judges them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import trainer
from benchmarks.contenders import training
from benchmarks.corpus import write_clips
from benchmarks.report import Spread
from benchmarks.turns import Measured
from sharding.build import build
from sharding.plan import BuildSettings
from tests.benchmarks.signatures import misfit

TINY = trainer.Case("Tiny", 8000, 16, "crop", 2, 10)


def test_everybody_is_set_up() -> None:
    for device, cases in trainer.CASES.items():
        for case in cases:
            everybody = trainer.contenders(case, Path("shards"), device, 2)
            assert [misfit(contender) for contender in everybody] == [None] * len(everybody)
            assert len(everybody) == (4 if device == "cpu" else 3)
            assert case.steps % 10 == 0, "a turn ends with a line of the log, as every tenth step does"


def test_the_page_judges() -> None:
    pace = {trainer.PLAIN: 100.0, trainer.IN_MEMORY: 97.9, trainer.LOADED: 95.0, trainer.processes(2): 190.0}
    page = trainer.part(TINY, Measured({name: Spread.of([rate]) for name, rate in pace.items()}, {}, {}, {}))
    assert f"| {trainer.IN_MEMORY} | the same step without the trainer | 97.9% | 97.9% - 97.9% | 98% | missed |" in page
    assert f"| {trainer.LOADED} | batches in memory | 97.0% | 97.0% - 97.0% | 95% | met |" in page
    assert f"| {trainer.processes(2)} | one process | 200.0% | 200.0% - 200.0% |  |  |" in page


def test_who_cannot_be_measured_is_named() -> None:
    rates = {trainer.PLAIN: Spread.of([1.0]), trainer.LOADED: Spread.of([1.0])}
    page = trainer.part(TINY, Measured(rates, {trainer.IN_MEMORY: "no reason"}, {}, {}))
    assert f"| {trainer.IN_MEMORY} | not measured | no reason |" in page
    assert page.count("| not measured |") == 5


def test_another_step_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the plain loop could do less than the trainer and nobody would see."""
    write_clips(tmp_path / "clips", 2)
    shards = tmp_path / "shards"
    build(tmp_path / "clips", shards, BuildSettings(dataset="folder", sample_rate=8000), jobs=1)
    monkeypatch.setattr(training.Plain, "step", lambda self, batch: None)
    with pytest.raises(ValueError, match="not what the plain loop makes of it"):
        training.trained(str(shards), 2, 16, "crop", 10, "cpu", 1, in_memory=True)


def test_quick_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trainer.CASES, "cpu", (TINY,))
    done = CliRunner().invoke(trainer.main, ["--device", "cpu", "--quick", "--rounds", "1", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert "not measured" not in done.output
    assert f"| {trainer.LOADED} | batches in memory |" in done.output
    assert "- trainer, batches in memory; trainer with PairLoader: train.steps.take_steps" in done.output
