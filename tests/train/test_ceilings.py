"""Measuring the ceilings costs little, agrees over ranks, and leaves the run as it would have been."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from loaders import Batch
from loaders.saturation.report import Saturation
from loaders.saturation.watch import SaturationLog
from tests.train.launching import LAUNCHER, ROOT, flat, run
from tests.train.test_trainer import HERE, settings
from train import ceilings
from train.ceilings import Ceilings, gather, measure_ceilings, measure_consumer
from train.trainer import Trainer


@contextmanager
def training(shards: Path, **changes: object) -> Iterator[Trainer]:
    trainer = Trainer(settings(shards, **changes), HERE)
    with trainer.loader:
        yield trainer


def step(trainer: Trainer) -> Tensor:
    return trainer.step(next(iter(trainer.loader)))["loss"]


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two trainers' states are equal to the last bit."""
    a, b = flat(one), flat(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert one["loader"] == other["loader"]


@pytest.mark.parametrize("before", [0, 2, 3], ids=["no optimiser state yet", "in an epoch", "at the end of one"])
def test_a_run_is_the_same_with_and_without(shards: Path, before: int) -> None:
    """24 tracks in batches of 6 are 4 steps an epoch; after it the shards are read in another order."""
    losses, states = [], []
    for measured in (False, True):
        with training(shards, steps=100) as trainer:
            for _ in range(before):
                step(trainer)
            torch.manual_seed(3)
            if measured:
                found = measure_ceilings(trainer)
                assert found.consumer_alone is not None
                assert found.loader_alone is not None
                assert trainer.step_count == before
            losses.append(torch.stack([step(trainer) for _ in range(4)]))
            states.append(trainer.state())
            assert trainer.step_count == before + 4
    assert torch.equal(*losses)
    same(*states)


def test_measuring_leaves_every_tensor_where_it_was(shards: Path) -> None:
    with training(shards, steps=100) as trainer:
        step(trainer)
        parameters = list(trainer.model.parameters())
        gradients = [parameter.grad for parameter in parameters]
        versions = [parameter._version for parameter in parameters]
        measure_ceilings(trainer)
        assert all(now is then for now, then in zip(trainer.model.parameters(), parameters, strict=True))
        assert all(parameter.grad is gradient for parameter, gradient in zip(parameters, gradients, strict=True))
        assert [parameter._version for parameter in parameters] == versions, "written to and restored"


def test_two_processes_train_the_same_with_and_without(shards: Path, tmp_path: Path) -> None:
    script = str(ROOT / "tests" / "train" / "measured_ranks.py")
    target = tmp_path / "outcome.pt"
    torchrun = [*LAUNCHER, "--standalone", "--nproc-per-node", "2", "--no-python", "--"]
    done = run([*torchrun, "env", f"PYTHONPATH={ROOT}", LAUNCHER[0], script, str(shards), str(target)])
    assert done.returncode == 0, done.stderr
    outcome = torch.load(target, weights_only=True)
    same(outcome["plain"]["state"], outcome["measured"]["state"])
    report = Saturation.from_json(outcome["measured"]["report"])
    assert [speeds.rank for speeds in report.ranks] == [0, 1]
    for speeds in report.ranks:
        assert speeds.together is not None
        assert speeds.loader_alone is not None
        assert speeds.consumer_alone == report.ranks[0].consumer_alone, "the ranks do not agree"
    assert "the slowest of 2" in report.verdict.line


class CountedSteps:
    """Steps that take a fixed time and do nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> None:
        self.count, self._seconds = 0, seconds
        monkeypatch.setattr(Trainer, "step", lambda _trainer, batch: self._step(batch))

    def _step(self, _batch: Batch) -> None:
        self.count += 1
        time.sleep(self._seconds)


def test_the_consumers_rate_is_that_of_its_steps(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CountedSteps(monkeypatch, 0.02)
    with training(shards) as trainer:
        rate, seconds = measure_consumer(trainer, 100)
    assert seconds >= 0.02
    assert rate == pytest.approx(6 / seconds)


@pytest.mark.parametrize(("steps", "tried"), [(3, 2), (40, 2), (400, 2 + 10), (100_000, 2 + 75)])
def test_a_small_part_of_the_run_is_spent(
    shards: Path, monkeypatch: pytest.MonkeyPatch, steps: int, tried: int
) -> None:
    """Half of 5 % of the steps, half of 3 s at the most, after one to warm up and one to see how long they are."""
    counted = CountedSteps(monkeypatch)
    monkeypatch.setattr(ceilings, "_step_seconds", stepping(0.02))
    with training(shards) as trainer:
        measure_consumer(trainer, steps)
    assert counted.count == tried


def test_long_steps_of_a_short_run_are_not_repeated(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = CountedSteps(monkeypatch)
    monkeypatch.setattr(ceilings, "_step_seconds", stepping(20.0))
    with training(shards) as trainer:
        assert measure_consumer(trainer, 10) == (None, 20.0)
        assert counted.count == 1
        assert measure_consumer(trainer, 100) == (6 / 20.0, 20.0)


def stepping(seconds: float) -> Any:
    """Takes the steps, and says that each took so long."""

    def step_seconds(trainer: Trainer, batch: Batch, count: int) -> float:
        for _ in range(count):
            trainer.step(batch)
        return seconds

    return step_seconds


def test_a_run_that_is_over_is_not_measured(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = CountedSteps(monkeypatch)
    with training(shards, steps=0) as trainer:
        assert measure_ceilings(trainer) == Ceilings()
    assert counted.count == 0


def test_one_process_gathers_itself(shards: Path) -> None:
    with training(shards) as trainer:
        speeds = SaturationLog(trainer.loader).speeds()
    assert gather(speeds).ranks == (speeds,)
