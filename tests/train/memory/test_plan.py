"""The plan of a run's memory against a step that is really taken, and what the command prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch.profiler import ProfilerActivity, profile

from clmr import contrastive_output
from clmr.errors import ConfigError
from clmr.layerwise import PART_ON_CPU
from loaders.prefetch import UPLOADED
from tests.train.test_trainer import HERE, settings
from train.memory.plan import CARDS, GIB, SIMILARITY, describe, largest_batch, memory_plan
from train.pretrain import main
from train.ranks.launch import Place
from train.settings import PretrainSettings
from train.trainer import Trainer


def peak(profiled: profile) -> int:
    """Most bytes that were allocated at once, beyond those at the beginning."""
    live = most = 0
    results: Any = profiled.profiler  # Any: torch leaves its events without types
    for event in results.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most


def counting() -> profile:
    return profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True)


# bf16 with --fused is left out: on a CPU that computes in float32, which the kernels of a GPU do not keep.
@pytest.mark.parametrize(("precision", "fused"), [("float32", False), ("bf16", False), ("float32", True)])
def test_a_step_takes_what_was_planned(
    shards: Path, precision: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.memory.activations.PART_ON_GPU", PART_ON_CPU)
    chosen = settings(
        shards, batch_size=12, width=64, batch_statistics="both", augment="crop", precision=precision, fused=fused
    )
    plan = memory_plan(chosen, 8000, 1)
    trainer = Trainer(chosen, HERE)
    with trainer.loader:
        batch = next(iter(trainer.loader))
        trainer.step(batch)
        with counting() as profiled:
            trainer.step(batch)
    # The optimiser, the weights and the crops were there before; the gradients were too, and are taken anew.
    assert peak(profiled) == pytest.approx(plan.views + plan.model, rel=0.15)


def test_the_loss_takes_what_was_planned() -> None:
    z_i, z_j = (torch.randn(256, 16, requires_grad=True) for _ in range(2))
    with counting() as profiled:
        contrastive_output(z_i, z_j).loss.backward()
    assert peak(profiled) == pytest.approx(SIMILARITY * 512**2 * 4, rel=0.1)


def papers(**changes: object) -> PretrainSettings:
    return PretrainSettings(**{"shards": ("nowhere",), "steps": 1, "sample_rate": 22050, **changes})  # type: ignore[arg-type]  # a test's table of settings


def test_shares_of_a_batch() -> None:
    whole, quarter = (memory_plan(papers(batch_size=4096), 22050, processes) for processes in (1, 4))
    for name in ("crops", "views", "kept", "host"):
        assert getattr(whole, name) == 4 * getattr(quarter, name)
    assert whole.crops == 4096 * 2 * 59049 * 2 * (1 + UPLOADED)
    assert whole.weights == 2 * 4 * 2_696_192
    assert whole.optimizer == 2 * memory_plan(papers(optimizer="lars"), 22050, 1).optimizer
    assert memory_plan(papers(batch_size=10), 22050, 4).views == 2 * 3 * 59049 * 4  # the first ranks have one more


def test_a_large_loss_is_made_in_blocks() -> None:
    small, large = (memory_plan(papers(batch_size=pairs), 22050, 1) for pairs in (4096, 4097))
    assert not small.in_blocks
    assert large.in_blocks
    assert large.loss < small.loss / 4


@pytest.mark.parametrize("card", CARDS)
def test_the_largest_batch_is_the_last_that_fits(card: str) -> None:
    there = CARDS[card] * GIB
    pairs = largest_batch(papers(), 22050, there)
    assert memory_plan(papers(batch_size=pairs), 22050, 1).needed <= there
    assert memory_plan(papers(batch_size=pairs + 1), 22050, 1).needed > there
    assert largest_batch(papers(), 22050, 0) == 0


def test_every_option_takes_less_than_the_one_before() -> None:
    needs = [
        memory_plan(papers(batch_size=1024, precision=precision, fused=fused), 22050, 1).needed
        for precision, fused in (
            ("float64", False),
            ("float32", False),
            ("bf16", False),
            ("float32", True),
            ("bf16", True),
        )
    ]
    assert needs == sorted(needs, reverse=True)
    assert len(set(needs)) == len(needs)


def test_the_verdict_on_this_device(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = papers(batch_size=48)
    needed = memory_plan(chosen, 22050, 1).needed
    for there, verdict in ((needed + 1, ": fits"), (needed - 1, "DOES NOT FIT, it needs 1.0 times as much")):
        monkeypatch.setattr("train.memory.plan.device_memory", lambda _, there=there: ("a card", int(there)))
        assert verdict in describe(chosen, HERE)
    with pytest.raises(ConfigError, match="fewer pairs than the 64 processes"):
        describe(chosen, Place(0, 64, torch.device("cpu")))
    assert replace(chosen, precision="float64").precision in describe(replace(chosen, precision="float64"), HERE)


def test_the_command_prints_and_does_nothing_else(shards: Path, tmp_path: Path) -> None:
    options = [
        "--memory-plan",
        "--run",
        str(tmp_path / "run"),
        "--epochs",
        "3",
        "--device",
        "cpu",
        "--batch-size",
        "64",
    ]
    outcomes = [
        CliRunner().invoke(main, ["--shards", *rest, *options])
        for rest in ([str(shards)], [str(tmp_path / "nowhere"), "--sample-rate", "8000"], [str(tmp_path / "nowhere")])
    ]
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 1]
    assert outcomes[0].stdout == outcomes[1].stdout
    assert "64 pairs over 1 process(es), 64 each; width 512, 8000 Hz, float32" in outcomes[0].stdout
    assert "manifest.json is missing" in outcomes[2].stderr
    assert not (tmp_path / "run").exists()
