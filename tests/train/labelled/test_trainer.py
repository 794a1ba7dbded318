"""A supervised step written out by hand, dropout, and when training stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clmr import SampleCNN
from clmr.augment import Chain
from clmr.draw import make_keys
from train.labelled import trainer as supervised_trainer
from train.labelled.data import LabelledSplits
from train.labelled.model import SupervisedSampleCNN, dropout_keys, summed_loss
from train.labelled.scores import Scores
from train.labelled.settings import SupervisedSettings
from train.labelled.trainer import SupervisedTrainer
from train.ranks.launch import Place

HERE = Place(0, 1, torch.device("cpu"))
SEED = 5


def settings(shards: Path, **changes: object) -> SupervisedSettings:
    base = SupervisedSettings(shards=str(shards), batch_size=6, width=16, seed=SEED, precision="float64", patience=3)
    return replace(base, **changes)  # type: ignore[arg-type]  # a test's table of settings


@pytest.fixture(scope="module")
def data(shards: Path) -> Iterator[LabelledSplits]:
    with LabelledSplits(settings(shards), HERE) as opened:
        yield opened


def test_a_step_is_what_it_says(shards: Path, data: LabelledSplits) -> None:
    trainer = SupervisedTrainer(settings(shards, learning_rate=0.02, augment="official"), data, HERE)
    batch = next(trainer.batches())
    loss = trainer.step(batch)

    torch.manual_seed(SEED)
    model = SupervisedSampleCNN(SampleCNN(8000, 16), 2, dropout=0.5).double()
    keys = torch.from_numpy(make_keys(SEED, 0, batch.position.numpy(), views=(0,))[:, 0].copy())
    audio = Chain.preset("official", 8000)(batch.pcm[:, None].double() / 32768, keys)
    logits = model(audio, dropout_keys(SEED, 0, batch.position, 16))
    expected = F.binary_cross_entropy_with_logits(logits, batch.labels.double())
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-9, atol=0)
    names, parameters = zip(*model.named_parameters(), strict=True)
    stepped = dict(trainer.model.named_parameters())
    for name, w, g in zip(names, parameters, torch.autograd.grad(expected, parameters), strict=True):
        # Adam's first step, both moments corrected: w - lr g / (|g| + eps)
        adam = w.detach() - 0.02 * g / (g.abs() + 1e-8)
        torch.testing.assert_close(stepped[name].detach(), adam, rtol=1e-5, atol=1e-7, msg=name)


def test_dropout_keeps_the_mean_and_depends_on_the_window_alone() -> None:
    model = SupervisedSampleCNN(SampleCNN(8000, 16), 16, dropout=0.25)
    model.encoder = torch.nn.Flatten()  # type: ignore[assignment]  # features given directly
    with torch.no_grad():
        model.fc.weight.copy_(torch.eye(16))
        model.fc.bias.zero_()
    windows = torch.arange(4000)
    dropped = model(torch.ones(4000, 16), dropout_keys(1, 0, windows, 16))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 1 / 0.75]))
    # 64,000 draws: the share of zeros has a deviation of .0017
    assert abs(float((dropped == 0).double().mean()) - 0.25) < 5 * 0.0017
    assert torch.equal(model(torch.ones(3, 16), dropout_keys(1, 0, windows[7:10], 16)), dropped[7:10])
    assert not torch.equal(model(torch.ones(4000, 16), dropout_keys(1, 1, windows, 16)), dropped)
    assert torch.equal(model(torch.ones(3, 16)), torch.ones(3, 16))


def test_losses_are_torchs() -> None:
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    labels = torch.eye(3, dtype=torch.bool)[[0, 2, 1, 1, 0]]
    classes = torch.nn.CrossEntropyLoss()(logits, torch.tensor([0, 2, 1, 1, 0]))
    tags = torch.nn.BCEWithLogitsLoss()(logits, labels.double())
    torch.testing.assert_close(summed_loss(logits, labels, "classes") / 5, classes)
    torch.testing.assert_close(summed_loss(logits, labels, "tags") / 5, tags)


def test_stops_when_patience_ends_and_keeps_the_best(
    shards: Path, data: LabelledSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = iter([0.5, 0.7, 0.7, 0.6, 0.69, 0.8])
    monkeypatch.setattr(supervised_trainer, "predict", lambda *_: np.zeros(1))
    monkeypatch.setattr(supervised_trainer, "validation_scores", lambda *_: Scores(*[next(course)] * 2))
    trainer = SupervisedTrainer(settings(shards), data, HERE)
    weights = []
    while not trainer.finished:
        trainer.step_count += trainer.steps_per_epoch
        with torch.no_grad():
            trainer.model.fc.bias.add_(1)  # what an epoch does to the weights
        due = [trainer.epoch_is_due]
        trainer.validate()
        assert [*due, trainer.epoch_is_due] == [True, False]
        weights.append(trainer.model.fc.bias.detach().clone())
    assert (trainer.epochs_done, trainer.best_epoch, trainer.best_score) == (5, 2, 0.7)
    state = trainer.state() | {"step": trainer.step_count}
    assert torch.equal(state["model"]["fc.bias"], weights[1])
    assert torch.equal(state["current"]["fc.bias"], weights[4])

    patient = SupervisedTrainer(settings(shards, patience=4), data, HERE, state)
    assert not patient.finished
    patient.step_count += patient.steps_per_epoch
    patient.validate()
    assert patient.best_epoch == 6
    patient.load_best()
    assert torch.equal(patient.model.fc.bias.detach(), weights[4])


def test_stops_after_the_last_epoch(shards: Path, data: LabelledSplits) -> None:
    trainer = SupervisedTrainer(settings(shards, epochs=1), data, HERE)
    before = trainer.finished
    trainer.step_count = trainer.steps_per_epoch
    trainer.validate()
    assert [before, trainer.finished] == [False, True]
    assert trainer.config()["total_steps"] == trainer.steps_per_epoch
