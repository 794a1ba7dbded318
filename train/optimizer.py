"""The optimiser of a pretraining run, made anew or from a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clmr.lars import LARS, lars_groups
from train.settings import PretrainSettings


def build_optimizer(settings: PretrainSettings, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all parameters of ``model``; its learning rate is set anew before every step.

    Adam is the fused one: a kernel or two for all parameters, to which the learning rate is an argument.
    """
    if settings.optimizer == "lars":
        return LARS(lars_groups(model), settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.Adam(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over the state of a checkpoint, whichever of torch's implementations wrote it."""
    ours = [{name: group[name] for name in ("fused",) if name in group} for group in optimizer.param_groups]
    groups = [{**theirs, **own} for theirs, own in zip(state["param_groups"], ours, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
