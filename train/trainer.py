"""One optimiser step of pretraining, and everything it needs: model, views, loader, optimiser."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from clmr import ContrastiveModel, Projector, SampleCNN
from clmr.errors import ConfigError, ResumeError
from clmr.geometry import alignment, uniformity
from clmr.loss import contrastive_output
from loaders import Batch, PairLoader
from loaders.pairs import windows_of
from train.augment_choice import build_views
from train.compiling import compiled
from train.optimizer import build_optimizer, load_optimizer
from train.precision import Precision, tf32
from train.ranks.averaging import average_in_rank_order
from train.ranks.launch import Place, from_first
from train.schedule import build_schedule
from train.settings import PretrainSettings


def build_model(settings: PretrainSettings, sample_rate: int) -> ContrastiveModel:
    """Encoder and projector with the initial weights of ``settings.seed``, the same on every rank."""
    torch.manual_seed(settings.seed)
    encoder = SampleCNN(sample_rate=sample_rate, width=settings.width)
    encoder.fused = settings.fused
    projector = Projector(settings.width, out=settings.projection)
    return ContrastiveModel(encoder, projector, settings.batch_statistics)


def check_agreement(fingerprint: dict[str, Any]) -> None:
    """Make sure that every rank reads the same data with the same settings as the first.

    Raises:
        ConfigError: on the ranks that do not.
    """
    theirs = from_first(lambda: fingerprint)
    for name, value in theirs.items():
        if fingerprint[name] != value:
            raise ConfigError(
                f"this rank's shards are not the first rank's ({name} differ); give all the same --shards"
            )


class _LoaderSettings(Protocol):
    """What of a run's settings its loader follows from."""

    @property
    def weights(self) -> dict[str, float]: ...
    @property
    def loader_options(self) -> dict[str, Any]: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def backend(self) -> str: ...


def open_pairs(settings: _LoaderSettings, place: Place, state: dict[str, Any] | None, **options: Any) -> PairLoader:
    """The loader of a run, the same on all ranks; of one that goes on from ``state``, with its windows of then."""
    options = settings.loader_options | options
    if state is not None and options["window"] is None:  # as it was: the order depends on it
        windows = windows_of(state["loader"])
        if settings.backend != "webdataset" and windows and len(windows) == len(settings.weights):
            options["window"] = windows
    return PairLoader(
        settings.weights,
        batch_size=settings.batch_size,
        seed=settings.seed,
        rank=place.rank,
        world_size=place.world_size,
        device=place.device,
        agree=from_first,
        **options,
    )


def over_ranks(model: nn.Module, place: Place) -> nn.Module:
    """The model with gradients averaged over the ranks; itself where there is one."""
    if place.world_size == 1:
        return model
    # Buffers need no broadcast: the batch-norm statistics are global, hence the same on every rank.
    ranked = DistributedDataParallel(model, broadcast_buffers=False)
    if place.device.type == "cpu":
        ranked.register_comm_hook(None, average_in_rank_order)
    return ranked


class Trainer:
    """Model, optimiser, loader and views of one run; ``step`` does one optimiser step."""

    def __init__(self, settings: PretrainSettings, place: Place, state: dict[str, Any] | None = None) -> None:
        """Make everything anew, or go on from a checkpoint's ``state``."""
        self.settings, self.place = settings, place
        self.precision = Precision(settings.precision, place.device.type)
        self.loader = open_pairs(settings, place, state, sample_rate=settings.sample_rate)
        check_agreement(self.loader.state_dict()["fingerprint"])
        self.views = build_views(settings, self.loader.sample_rate)
        self.model = build_model(settings, self.loader.sample_rate).to(place.device, self.precision.dtype)
        self.project = self.projection_of(self.model)
        self.optimizer = build_optimizer(settings, self.model)
        self.step_count = 0
        steps = settings.steps if settings.steps is not None else (settings.epochs or 0) * len(self.loader)
        self.total = steps
        self.schedule = build_schedule(settings, steps, len(self.loader))
        if state is not None:
            self._resume(state)

    def projection_of(self, model: nn.Module) -> Callable[[Tensor], Tensor]:
        """Views to projections by ``model``, as a step computes them: over the ranks, and compiled where asked for."""
        ranked = over_ranks(model, self.place)
        return compiled(ranked) if self.settings.compile else ranked

    @property
    def learning_rate(self) -> float:
        """That of the step just done; before the first step, of that one."""
        return self.schedule(max(0, self.step_count - 1))

    def step(self, batch: Batch, *, measure: bool = False) -> dict[str, Tensor]:
        """One optimiser step; nothing in it waits for the device.

        Args:
            batch: this rank's rows.
            measure: give what takes some more work too; every rank must ask alike.

        Returns:
            Scalars, still on the device: ``loss`` and ``contrastive_accuracy`` of this rank's anchors; to ``measure``
            also ``alignment`` and ``uniformity`` of the projections and ``gradient_norm``, the L2 norm of the gradient
            of all parameters. Each one's mean over the ranks is the run's.
        """
        with tf32(allowed=False):
            views = self.views(batch.pcm, batch.keys, self.precision.dtype)
            self.optimizer.zero_grad(set_to_none=True)
            with self.precision.forward():
                projected = self.project(views)
            # dL/dw = dz/dw . dL/dz: two backward passes, because the loss's is exact and the model's need not be.
            z = projected.detach().requires_grad_()
            outcome = contrastive_output(z[0], z[1], self.settings.temperature)
            outcome.loss.backward()
            with self.precision.backward():
                projected.backward(z.grad)
            values = {"loss": outcome.loss.detach(), "contrastive_accuracy": outcome.accuracy.detach()}
            if measure:
                gradients = [weights.grad for weights in self.model.parameters() if weights.grad is not None]
                values |= {
                    "alignment": alignment(z[0], z[1]),
                    "uniformity": uniformity(z[0], z[1]),
                    "gradient_norm": nn.utils.get_total_norm(gradients),
                }
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule(self.step_count)
            self.optimizer.step()
        self.step_count += 1
        return values

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),
            "rng": torch.get_rng_state(),
            "encoder_config": {"sample_rate": self.loader.sample_rate, "width": self.settings.width},
        }

    def _resume(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        torch.set_rng_state(state["rng"])
        self.step_count = state["step"]
        if self.step_count > self.total:
            raise ResumeError(f"the run has done {self.step_count} steps already, more than the {self.total} asked for")

    def config(self) -> dict[str, Any]:
        """What ``config.json`` says of the run."""
        return {
            "settings": asdict(self.settings),
            "total_steps": self.total,
            "steps_per_epoch": len(self.loader),
            "sample_rate": self.loader.sample_rate,
            "tracks": self.loader.track_count,
            "loader": self.loader.description,
            "loader_fingerprint": self.loader.state_dict()["fingerprint"],
            "augment": self.views.describe(),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "world_size": self.place.world_size,
            "software": {"python": platform.python_version(), "torch": torch.__version__},
        }
