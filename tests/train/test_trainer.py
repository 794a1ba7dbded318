"""One optimiser step written out by hand, with settings that are not the defaults, against the trainer's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clmr import ContrastiveModel, Projector, SampleCNN, nt_xent_loss
from clmr.augment import Chain, Views
from clmr.errors import ConfigError
from loaders import PairLoader
from train.ranks.launch import Place
from train.settings import PretrainSettings
from train.trainer import Trainer, check_agreement

HERE = Place(0, 1, torch.device("cpu"))


def settings(shards: Path, **changes: object) -> PretrainSettings:
    fields: dict[str, object] = {
        "shards": (str(shards),),
        "batch_size": 6,
        "steps": 3,
        "width": 16,
        "projection": 8,
        "temperature": 0.07,
        "learning_rate": 0.02,
        "augment": "official",
        "seed": 5,
        "precision": "float64",
    }
    return PretrainSettings(**{**fields, **changes})  # type: ignore[arg-type]  # a test's table of settings


def by_hand(shards: Path) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and weights after Adam's first step: with both moments corrected it is w - lr g / (|g| + eps)."""
    torch.manual_seed(5)
    model = ContrastiveModel(SampleCNN(8000, 16), Projector(16, out=8)).double()
    with PairLoader(shards, batch_size=6, seed=5) as loader:
        batch = next(iter(loader))
    chain = Chain.preset("official", sample_rate=8000)
    views = [chain(batch.pcm[:, view, None].double() / 32768, batch.keys[:, view].contiguous()) for view in (0, 1)]
    z = [model.projector(model.encoder(view)) for view in views]
    loss = nt_xent_loss(z[0], z[1], 0.07)
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    stepped = {
        name: w.detach() - 0.02 * g / (g.abs() + 1e-8) for name, w, g in zip(names, parameters, gradients, strict=True)
    }
    return loss.detach(), stepped


def test_a_step_is_what_it_says(shards: Path) -> None:
    trainer = Trainer(settings(shards), HERE)
    with trainer.loader:
        loss = trainer.step(next(iter(trainer.loader)))["loss"]
    expected_loss, expected = by_hand(shards)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-9, atol=0)
    for name, parameter in trainer.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"augment": "paper"},
        {"learning_rate": 0.01},
        {"seed": 6},
        {"projection": 4},
        {"batch_statistics": "both"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_reaches_the_step(shards: Path, change: dict[str, object]) -> None:
    trainer = Trainer(settings(shards, **change), HERE)
    with trainer.loader:
        trainer.step(next(iter(trainer.loader)))
    _, expected = by_hand(shards)
    ours = dict(trainer.model.named_parameters())
    assert any(
        ours[name].shape != value.shape or not torch.allclose(ours[name], value, rtol=1e-6)
        for name, value in expected.items()
    )


def test_views_are_the_two_crops_of_each_track(shards: Path) -> None:
    with PairLoader(shards, batch_size=6) as loader:
        batch = next(iter(loader))
    views = Views.preset("crop", 8000)(batch.pcm, batch.keys)
    assert views.shape == (2, 6, 1, 20736)
    np.testing.assert_array_equal(views[1, 4, 0].numpy() * 32768, batch.pcm[4, 1].numpy())


def test_agreement_names_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    check_agreement({"seed": 1, "tracks": "a"})
    monkeypatch.setattr("train.trainer.from_first", lambda _: {"seed": 1, "tracks": "b"})
    with pytest.raises(ConfigError, match="tracks"):
        check_agreement({"seed": 1, "tracks": "a"})
