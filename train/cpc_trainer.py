"""One optimiser step of CPC, and everything it needs: model, loader, optimiser."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from clmr.augment import from_int16
from clmr.augment.send import send
from clmr.cpc import CPC, InfoNceOutput, draw_negatives, info_nce, latent_count
from clmr.cpc.features import describe
from clmr.errors import ConfigError, ResumeError
from loaders import Batch
from train.cpc_settings import SYSTEM, CpcSettings
from train.ranks.launch import Place
from train.trainer import check_agreement, open_pairs, over_ranks


def build_cpc(settings: CpcSettings) -> CPC:
    """The model with the initial weights of ``settings.seed``, the same on every rank."""
    torch.manual_seed(settings.seed)
    return CPC(settings.width, settings.context, settings.predictions, batch_norm=settings.batch_norm)


class CpcTrainer:
    """Model, optimiser and loader of one run; ``step`` does one optimiser step."""

    def __init__(self, settings: CpcSettings, place: Place, state: dict[str, Any] | None = None) -> None:
        """Make everything anew, or go on from a checkpoint's ``state``."""
        self.settings, self.place = settings, place
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        self.loader = open_pairs(settings, place, state)
        latents = latent_count(self.loader.crop_frames)
        if latents <= settings.predictions:
            raise ConfigError(
                f"--predictions {settings.predictions}: crops of {self.loader.crop_frames} samples give {latents} "
                "latents, which must be more; predict fewer steps or cut longer --crop-frames"
            )
        check_agreement(self.loader.state_dict()["fingerprint"])
        self.model = build_cpc(settings).to(place.device, self.dtype)
        self.ranked = over_ranks(self.model, place)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate)
        self.step_count = 0
        self.total = settings.steps if settings.steps is not None else (settings.epochs or 0) * len(self.loader)
        if state is not None:
            self._resume(state)

    def outcome(self, batch: Batch) -> InfoNceOutput:
        """Loss and accuracy of this rank's sequences: the first crop of each pair, so all are of different tracks."""
        audio = from_int16(batch.pcm[:, 0]).to(self.dtype)
        with torch.autocast(self.place.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            z, predictions = self.ranked(audio)
        sequences, latents, _ = z.shape
        negatives = draw_negatives(
            batch.keys[:, 0],
            latents,
            self.settings.predictions,
            self.settings.negatives,
            sequences=sequences * self.place.world_size,
            first=sequences * self.place.rank,
        )
        return info_nce(z, predictions, send(negatives, z.device))

    def step(self, batch: Batch, *, measure: bool = False) -> dict[str, Tensor]:
        """One optimiser step; nothing waits for the device.

        Returns:
            Scalars on the device, whose mean over ranks is the run's: ``loss`` and ``contrastive_accuracy`` of this
            rank's sequences; with ``measure`` also ``gradient_norm``, of the gradient averaged over ranks.
        """
        outcome = self.outcome(batch)
        self.optimizer.zero_grad(set_to_none=True)
        outcome.loss.backward()
        measured = {"loss": outcome.loss.detach(), "contrastive_accuracy": outcome.accuracy.detach()}
        if measure:
            gradients = [weights.grad for weights in self.model.parameters() if weights.grad is not None]
            measured["gradient_norm"] = get_total_norm(gradients)
        self.optimizer.step()
        self.step_count += 1
        return measured

    @property
    def learning_rate(self) -> float:
        """Of every step."""
        return self.settings.learning_rate

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),
            "encoder_config": describe(self.model, self.loader.sample_rate),
        }

    def check_finite(self) -> None:
        """Refuse weights that have diverged.

        Raises:
            ConfigError: on every rank.
        """
        if not all(bool(weights.isfinite().all()) for weights in self.model.parameters()):
            raise ConfigError(f"the weights are not finite after step {self.step_count}: lower --learning-rate")

    def _resume(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_count = state["step"]
        if self.step_count > self.total:
            raise ResumeError(f"the run has done {self.step_count} steps already, more than the {self.total} asked for")

    def config(self) -> dict[str, Any]:
        """What ``config.json`` says of the run."""
        return {
            "kind": SYSTEM,
            "settings": asdict(self.settings),
            "total_steps": self.total,
            "steps_per_epoch": len(self.loader),
            "sample_rate": self.loader.sample_rate,
            "tracks": self.loader.track_count,
            "loader": self.loader.description,
            "loader_fingerprint": self.loader.state_dict()["fingerprint"],
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "world_size": self.place.world_size,
            "software": {"python": platform.python_version(), "torch": torch.__version__},
        }
