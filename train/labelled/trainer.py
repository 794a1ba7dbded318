"""One optimiser step of supervised training, one validation, and everything they need."""

from __future__ import annotations

import platform
from collections.abc import Generator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clmr import SampleCNN
from clmr.augment import from_int16
from clmr.augment.send import send
from clmr.draw import make_keys
from clmr.errors import ConfigError, ResumeError
from loaders import WindowBatch
from train.labelled.data import LabelledSplits
from train.labelled.model import SupervisedSampleCNN, dropout_keys, summed_loss
from train.labelled.scores import Scores, predict, validation_scores
from train.labelled.settings import KIND, SupervisedSettings, build_chain
from train.ranks.launch import Place, from_first
from train.trainer import check_agreement, over_ranks


class SupervisedTrainer:
    """Model, optimiser, windows and the best weights so far of one run."""

    def __init__(
        self, settings: SupervisedSettings, data: LabelledSplits, place: Place, state: dict[str, Any] | None = None
    ) -> None:
        """Make everything anew, or go on from a checkpoint's ``state``."""
        self.settings, self.data, self.place = settings, data, place
        check_agreement(data.fingerprint())
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        self.sample_rate = data.train.sample_rate
        self.chain = build_chain(settings, self.sample_rate)
        torch.manual_seed(settings.seed)
        encoder = SampleCNN(sample_rate=self.sample_rate, width=settings.width)
        model = SupervisedSampleCNN(encoder, len(data.train.label_names), settings.dropout)
        self.model = model.to(place.device, self.dtype)
        self.ranked = over_ranks(self.model, place)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.step_count = 0
        self.epochs_done = 0  # epochs that were validated too
        self.best_epoch, self.best_score = 0, -float("inf")
        self.best: dict[str, Tensor] | None = None
        if state is not None:
            self._resume(state)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return len(self.data.train)

    @property
    def epoch_is_due(self) -> bool:
        """Whether the steps of an epoch are done and its validation is not."""
        return self.step_count == (self.epochs_done + 1) * self.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether the last epoch was validated, or ``patience`` epochs brought nothing better."""
        out_of_patience = self.epochs_done - self.best_epoch >= self.settings.patience
        return self.epochs_done >= self.settings.epochs or out_of_patience

    def batches(self) -> Generator[WindowBatch, None, None]:
        """The batches from the next step on, without end."""
        while True:
            yield from self.data.train.epoch(*divmod(self.step_count, self.steps_per_epoch))

    def step(self, batch: WindowBatch) -> Tensor:
        """One optimiser step; returns this rank's part of the mean loss times the ranks, still on the device."""
        epoch, step = divmod(self.step_count, self.steps_per_epoch)
        seed, device = self.settings.seed, self.place.device
        self.model.train()
        keys = torch.from_numpy(make_keys(seed, epoch, batch.position.numpy(), views=(0,))[:, 0].copy())
        audio = self.chain(from_int16(batch.pcm).to(self.dtype), keys)
        dropped = None
        if self.settings.dropout:
            dropped = send(dropout_keys(seed, epoch, batch.position, self.settings.width), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            logits = self.ranked(audio, dropped)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        # Gradients are averaged over the R ranks, whose shares of the B windows may differ by one: with
        # R / B * (sum over a rank's windows) the average is the gradient of the mean over the whole batch.
        loss = summed_loss(logits, send(batch.labels, device), self.data.task)
        loss = loss * (self.place.world_size / self.data.train.rows(step))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step_count += 1
        return loss.detach()

    def validate(self) -> Scores:
        """End an epoch: score the validation tracks and keep the weights if they are the best so far.

        Raises:
            ConfigError: on every rank, when the weights have diverged.
        """
        self.check_finite()
        probability = predict(self.model, self.data.valid, self.data.task, self.dtype)
        if not np.isfinite(probability).all():  # weights so large that what follows from them is none
            raise ConfigError(f"the network's outputs are not finite at step {self.step_count}: lower --learning-rate")
        # One rank decides: whether to stop must be the same everywhere.
        scores = from_first(lambda: validation_scores(self.data.valid.labels, probability))
        self.epochs_done += 1
        if scores.mean > self.best_score:
            self.best_epoch, self.best_score = self.epochs_done, scores.mean
            self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        return scores

    def check_finite(self) -> None:
        """Refuse weights that have diverged.

        Raises:
            ConfigError: on every rank.
        """
        if not all(bool(weights.isfinite().all()) for weights in self.model.parameters()):
            raise ConfigError(f"the weights are not finite after step {self.step_count}: lower --learning-rate")

    def load_best(self) -> None:
        """Give the model the weights of the best epoch."""
        assert self.best is not None, "nothing was validated yet"
        self.model.load_state_dict(self.best)

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs; ``model`` is what its readers want: the best weights so far."""
        current = self.model.state_dict()
        return {
            "model": current if self.best is None else self.best,
            "current": current,
            "optimizer": self.optimizer.state_dict(),
            "epochs_done": self.epochs_done,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "fingerprint": self.data.fingerprint(),
            "labels": list(self.data.train.label_names),
            "encoder_config": {"sample_rate": self.sample_rate, "width": self.settings.width},
        }

    def _resume(self, state: dict[str, Any]) -> None:
        if "current" not in state:
            raise ResumeError("the newest checkpoint of --run is not one of train/supervised.py; give a new --run")
        for name, now in self.data.fingerprint().items():
            if state["fingerprint"].get(name) != now:
                raise ResumeError(f"the {name} of --shards are not those the run was begun with; give a new --run")
        self.model.load_state_dict(state["current"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_count, self.epochs_done = state["step"], state["epochs_done"]
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]
        self.best = state["model"] if self.best_epoch else None
        if self.epochs_done > self.settings.epochs:
            raise ResumeError(f"the run has done {self.epochs_done} epochs, more than --epochs {self.settings.epochs}")

    def config(self) -> dict[str, Any]:
        """What ``config.json`` says of the run."""
        total = self.step_count if self.finished else self.settings.epochs * self.steps_per_epoch
        return {
            "kind": KIND,
            "settings": asdict(self.settings),
            "task": self.data.task,
            "labels": list(self.data.train.label_names),
            "total_steps": total,
            "steps_per_epoch": self.steps_per_epoch,
            "sample_rate": self.sample_rate,
            "tracks": {split: len(loader.tracks) for split, loader in self.data.loaders.items()},
            "tracks_trained_on": int(self.data.train.used.sum()),
            "augment": self.chain.describe(),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "world_size": self.place.world_size,
            "software": {"python": platform.python_version(), "torch": torch.__version__},
        }
