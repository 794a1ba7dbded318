"""The probe's head: a classifier on frozen features that takes steps of Adam and is stopped by the validation split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clmr.errors import ConfigError

ROWS = 1 << 16  # windows scored at once


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """How the head is trained; the defaults are the paper's (section 2.9), which gives no batch size."""

    kind: Literal["linear", "mlp"] = "linear"
    """``mlp`` has one hidden layer, as wide as the features, and a ReLU."""
    learning_rate: float = 3e-4
    """Of Adam."""
    weight_decay: float = 1e-6
    """Of Adam: weight times this is added to the gradient."""
    batch_size: int = 256
    """Windows per step."""
    patience: int = 5
    """Epochs without a better validation score before it stops."""
    max_epochs: int = 500
    decay_patience: int | None = None
    """More epochs than this without a better validation score, by 1e-4 of it, cut the learning rate to a tenth; None
    leaves it as it is."""
    keep: Literal["best", "last"] = "best"
    """Whose weights are the head: those of the best validation epoch, or of the last."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"--learning-rate {self.learning_rate:g}: give a finite rate above 0")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"--weight-decay {self.weight_decay:g}: give 0 or a finite number above it")


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Shift and scale of each feature, from the training windows only."""

    mean: Tensor
    scale: Tensor

    @staticmethod
    def of(features: Tensor) -> Standardiser:
        """Statistics of ``[W, D]``, W >= 1; a feature that never varies is only shifted."""
        deviation, mean = torch.std_mean(features, dim=0, correction=min(1, len(features) - 1))
        return Standardiser(mean, torch.where(deviation > 1e-12, deviation, 1.0))

    def __call__(self, features: Tensor) -> Tensor:
        """Features ``[W, D]`` with mean 0 and deviation 1 on the training split."""
        return (features - self.mean) / self.scale


def probabilities(logits: Tensor, task: str) -> Tensor:
    """Probability of every label from logits ``[..., C]``: a sigmoid of each (``tags``) or a softmax (``classes``)."""
    return logits.softmax(dim=-1) if task == "classes" else logits.sigmoid()


def track_probabilities(
    head: nn.Module,
    features: Tensor,
    owner: npt.NDArray[np.int64],
    *,
    task: str = "tags",
    of_mean_logit: bool = False,
) -> npt.NDArray[np.float64]:
    """Probabilities of whole tracks from the windows of each.

    Args:
        head: maps ``[W, D]`` to logits ``[W, C]``.
        features: standardised window features ``[W, D]``.
        owner: the track of each window, 0 .. tracks - 1, each at least once, ``[W]``.
        task: ``tags`` or ``classes``, see :func:`probabilities`.
        of_mean_logit: average a track's logits and take the probability of that, as the authors' first code did,
            instead of averaging its windows' probabilities.

    Returns:
        float64 ``[tracks, C]``.
    """
    with torch.inference_mode():
        logits = torch.cat([head(rows) for rows in features.split(ROWS)]).double()
        each = logits if of_mean_logit else probabilities(logits, task)
        index = torch.from_numpy(owner)
        total = torch.zeros(int(owner.max()) + 1, each.shape[1], dtype=torch.float64).index_add_(0, index, each)
        mean = total / torch.bincount(index)[:, None]
        return (probabilities(mean, task) if of_mean_logit else mean).numpy()


def head_loss(logits: Tensor, labels: Tensor, task: str) -> Tensor:
    """Cross-entropy of logits against 0/1 labels, both ``[W, C]``.

    Binary, averaged over windows and labels (``tags``), or of the softmax, averaged over windows (``classes``).
    """
    return (F.cross_entropy if task == "classes" else F.binary_cross_entropy_with_logits)(logits, labels)


def _new_head(kind: str, width: int, outputs: int, generator: torch.Generator) -> nn.Module:
    layers = [nn.Linear(width, width), nn.Linear(width, outputs)] if kind == "mlp" else [nn.Linear(width, outputs)]
    bound = width**-0.5  # torch's own initialisation, drawn from our generator
    for parameter in (each for layer in layers for each in layer.parameters()):
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1]) if kind == "mlp" else layers[0]


def fit_head(
    features: Tensor,
    labels: Tensor,
    score: Callable[[nn.Module], float],
    settings: HeadSettings,
    seed: int,
    *,
    task: str = "tags",
) -> tuple[nn.Module, int, float]:
    """Train a head by the windows' cross-entropy; the validation split stops it.

    Args:
        features: training windows ``[W, D]``.
        labels: float ``[W, C]``, each window bears its track's labels.
        score: validation score of a head, higher is better.
        settings: see :class:`HeadSettings`.
        seed: of the initial weights and the order of the windows.
        task: ``tags`` or ``classes``, see :func:`head_loss`.

    Returns:
        The head, the epoch it is from (1-based) and its validation score.

    Raises:
        ConfigError: no epoch has a finite validation score.
    """
    generator = torch.Generator().manual_seed(seed)
    head = _new_head(settings.kind, features.shape[1], labels.shape[1], generator)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    decay = None
    if settings.decay_patience is not None:
        decay = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=settings.decay_patience)
    best, best_epoch, best_state = -float("inf"), 0, {}
    epoch, current = 0, best
    for epoch in range(1, settings.max_epochs + 1):
        for rows in torch.randperm(len(features), generator=generator).split(settings.batch_size):
            optimizer.zero_grad(set_to_none=True)
            head_loss(head(features[rows]), labels[rows], task).backward()
            optimizer.step()
        current = score(head)
        if decay is not None:
            decay.step(-current)  # it looks for the least
        if current > best:
            best, best_epoch = current, epoch
            best_state = {name: value.clone() for name, value in head.state_dict().items()}
        elif epoch - best_epoch >= settings.patience:
            break
    if not best_epoch:
        raise ConfigError("the head diverged in its first epoch; lower --learning-rate")
    if settings.keep == "last":
        return head, epoch, current
    head.load_state_dict(best_state)
    return head, best_epoch, best
