"""Pretraining lowers the loss of crops it never saw, drawn with another seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clmr.augment import Views
from clmr.loss import nt_xent_loss
from loaders import PairLoader
from tests.train.launching import SMALL
from train.pretrain import main
from train.runs.checkpoint import checkpoint_path, load
from train.settings import PretrainSettings
from train.trainer import build_model

STEPS = 120
WIDTH, PROJECTION = (int(SMALL[SMALL.index(option) + 1]) for option in ("--width", "--projection"))


def mean_loss(shards: Path, run: Path, step: int) -> float:
    """NT-Xent of a checkpoint on four passes over the tracks."""
    model = build_model(PretrainSettings(shards=(str(shards),), steps=0, width=WIDTH, projection=PROJECTION), 8000)
    model.load_state_dict(load(checkpoint_path(run, step))["model"])
    views = Views.preset("paper", sample_rate=8000)
    losses = []
    with PairLoader(shards, batch_size=8, seed=99) as loader, torch.no_grad():
        for _ in range(4):
            for batch in loader:
                z = model(views(batch.pcm, batch.keys))
                losses.append(nt_xent_loss(z[0], z[1], 0.2).item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_loss_falls(shards: Path, tmp_path: Path, precision: str) -> None:
    options = ["--steps", str(STEPS), "--learning-rate", "3e-3", "--temperature", "0.2", "--precision", precision]
    main.main(["--shards", str(shards), "--run", str(tmp_path), *SMALL, *options], standalone_mode=False)
    assert mean_loss(shards, tmp_path, STEPS) < mean_loss(shards, tmp_path, 0) - 0.1
