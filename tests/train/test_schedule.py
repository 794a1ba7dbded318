"""Learning rates: at both ends, between them, in the optimiser, and after going on from a checkpoint."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from clmr.errors import ConfigError
from clmr.lars import LARS
from tests.train.launching import SMALL, flat, newest
from tests.train.test_trainer import HERE
from train.pretrain import main
from train.schedule import Schedule, build_schedule
from train.settings import PretrainSettings, save_config
from train.trainer import Trainer

LARGE_BATCH = [
    *("--optimizer", "lars", "--learning-rate", "0.5", "--weight-decay", "1e-4"),
    *("--schedule", "cosine", "--warmup-steps", "2", "--precision", "float64", "--no-ceilings"),
]


def settings(shards: Path, **changes: object) -> PretrainSettings:
    fields: dict[str, object] = {"shards": (str(shards),), "batch_size": 6, "steps": 5, "width": 16, "projection": 8}
    return PretrainSettings(**{**fields, **changes})  # type: ignore[arg-type]  # a test's table of settings


def pretrain(shards: Path, run: Path, *options: str) -> None:
    main.main(["--shards", str(shards), "--run", str(run), *SMALL, *options], standalone_mode=False)


def test_the_papers_rate_is_constant() -> None:
    schedule = Schedule(peak=3e-4, total=10)
    assert [schedule(step) for step in (0, 1, 9, 10**9)] == [3e-4] * 4


def test_the_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    schedule = Schedule(peak=2.0, total=100, warmup=4)
    assert [schedule(step) for step in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_the_cosine_falls_from_the_peak_to_zero() -> None:
    schedule = Schedule(peak=2.0, total=110, warmup=10, cosine=True)
    rates = [schedule(step) for step in range(111)]
    assert rates[9] == rates[10] == 2.0
    assert rates[60] == pytest.approx(1.0)  # half-way after the warm-up
    assert rates[35] == pytest.approx(1 + math.sqrt(0.5))  # an eighth of the circle
    assert 0 < rates[109] < 2 * (math.pi / 200) ** 2  # the last step is small, and is one
    assert rates[110] == 0.0
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    # A half wave is odd about its middle.
    assert all(rates[10 + n] + rates[110 - n] == pytest.approx(2.0) for n in range(50))


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert Schedule(peak=2.0, total=7, cosine=True)(0) == 2.0
    assert Schedule(peak=2.0, total=0, cosine=True)(0) == 2.0  # a run of no steps can be set up


def test_a_warm_up_leaves_room_for_the_cosine() -> None:
    with pytest.raises(ConfigError, match="a warm-up of 5 steps leaves none of the run's 5"):
        Schedule(peak=1.0, total=5, warmup=5, cosine=True)
    assert Schedule(peak=1.0, total=5, warmup=10)(4) == 0.5  # a run that may be prolonged


def test_a_warm_up_in_epochs(tmp_path: Path) -> None:
    assert build_schedule(settings(tmp_path, warmup_epochs=3), 1000, steps_per_epoch=40).warmup == 120
    assert build_schedule(settings(tmp_path, warmup_steps=3), 1000, steps_per_epoch=40).warmup == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "sgd"}, "--optimizer sgd: one of adam, lars"),
        ({"schedule": "linear"}, "--schedule linear: one of constant, cosine"),
        ({"weight_decay": -1.0}, "--weight-decay -1.0: must be a number from 0 up"),
        ({"weight_decay": float("nan")}, "--weight-decay nan"),
        ({"warmup_steps": 1, "warmup_epochs": 1}, "give --warmup-epochs or --warmup-steps"),
        ({"warmup_steps": -1}, "at least 0"),
        ({"splits": ("train", "train")}, "--split train train: one or more of train, valid, test, each once"),
        ({"splits": ()}, "--split of nothing"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **change)


def test_the_schedule_reaches_the_optimiser(shards: Path) -> None:
    chosen = settings(shards, optimizer="lars", weight_decay=0.5, learning_rate=0.8, schedule="cosine", warmup_steps=2)
    trainer = Trainer(chosen, HERE)
    assert isinstance(trainer.optimizer, LARS)
    assert [group["exclude"] for group in trainer.optimizer.param_groups] == [False, True]
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.5}
    rates = []
    with trainer.loader:
        for _ in range(5):
            trainer.step(next(iter(trainer.loader)))
            rates.append({group["lr"] for group in trainer.optimizer.param_groups})
    assert rates == [{rate} for rate in (0.4, 0.8, 0.8, trainer.schedule(3), trainer.schedule(4))]
    assert trainer.schedule(4) < trainer.schedule(3) < 0.8


def test_adam_takes_the_weight_decay(shards: Path) -> None:
    trainer = Trainer(settings(shards, weight_decay=0.25), HERE)
    trainer.loader.close()
    assert type(trainer.optimizer) is torch.optim.Adam
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 0.25


def test_going_on_is_exact_and_the_cosine_keeps_its_length(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    pretrain(shards, whole, *LARGE_BATCH, "--steps", "5")
    step = Trainer.step

    def dying(trainer: Trainer, batch: object, **options: bool) -> object:
        if trainer.step_count == 3:
            raise KeyboardInterrupt
        return step(trainer, batch, **options)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(Trainer, "step", dying)
    with pytest.raises(SystemExit):
        pretrain(shards, halved, *LARGE_BATCH, "--steps", "5", "--checkpoint-every", "1")
    monkeypatch.undo()
    assert newest(halved)["step"] == 3
    capfd.readouterr()
    with pytest.raises(SystemExit):
        pretrain(shards, halved, *LARGE_BATCH, "--steps", "8")
    assert "was begun with steps = 5, not 8, and its cosine ends there" in capfd.readouterr().err

    pretrain(shards, halved, *LARGE_BATCH, "--steps", "5")
    ours, theirs = (flat({key: newest(run)[key] for key in ("model", "optimizer")}) for run in (whole, halved))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_begun_before_these_settings_goes_on(shards: Path, tmp_path: Path) -> None:
    """Its config.json lacks them: it was trained as their defaults say."""
    pretrain(shards, tmp_path, "--steps", "1", "--no-ceilings")
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for name in ("optimizer", "weight_decay", "schedule", "warmup_epochs", "warmup_steps", "splits"):
        del config["settings"][name]
    save_config(tmp_path, config)
    pretrain(shards, tmp_path, "--steps", "2", "--no-ceilings")
    assert newest(tmp_path)["step"] == 2
