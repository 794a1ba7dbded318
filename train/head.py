"""The probe's head: a linear classifier on standardised frozen features, stopped by the validation split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """How the head is trained; the defaults are the paper's (section 2.9)."""

    learning_rate: float = 3e-4
    """Of Adam."""
    weight_decay: float = 1e-6
    batch_size: int = 256
    """Windows per step."""
    patience: int = 5
    """Epochs without a better validation score before it stops."""
    max_epochs: int = 500


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Shift and scale of each feature, from the training windows only."""

    mean: Tensor
    scale: Tensor

    @staticmethod
    def of(features: Tensor) -> Standardiser:
        """Statistics of ``[W, D]``; a feature that never varies is only shifted."""
        deviation, mean = torch.std_mean(features, dim=0)
        return Standardiser(mean, torch.where(deviation > 1e-12, deviation, 1.0))

    def __call__(self, features: Tensor) -> Tensor:
        """Features ``[W, D]`` with mean 0 and deviation 1 on the training split."""
        return (features - self.mean) / self.scale


def track_probabilities(head: nn.Module, features: Tensor, owner: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Mean over a track's windows of sigmoid(head(window)).

    Args:
        head: maps ``[W, D]`` to logits ``[W, C]``.
        features: standardised window features ``[W, D]``.
        owner: the track of each window, 0 .. tracks - 1, ``[W]``.

    Returns:
        float64 ``[tracks, C]``.
    """
    with torch.inference_mode():
        probability = torch.sigmoid(head(features)).double()
    index = torch.from_numpy(owner)
    total = torch.zeros(int(owner.max()) + 1, probability.shape[1], dtype=torch.float64).index_add_(
        0, index, probability
    )
    return (total / torch.bincount(index)[:, None]).numpy()


def fit_head(
    features: Tensor, labels: Tensor, score: Callable[[nn.Module], float], settings: HeadSettings, seed: int
) -> tuple[nn.Linear, int, float]:
    """Train a linear head with binary cross-entropy; keep the weights of the best validation epoch.

    Args:
        features: standardised training windows ``[W, D]``.
        labels: float ``[W, C]``, each window bears its track's labels.
        score: validation score of a head, higher is better.
        settings: see :class:`HeadSettings`.
        seed: of the initial weights and the order of the windows.

    Returns:
        The head, the epoch it is from (1-based) and its validation score.
    """
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(features.shape[1], labels.shape[1])
    bound = features.shape[1] ** -0.5  # torch's own initialisation, drawn from our generator
    for parameter in head.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best, best_epoch, best_state = -float("inf"), 0, {}
    for epoch in range(1, settings.max_epochs + 1):
        for rows in torch.randperm(len(features), generator=generator).split(settings.batch_size):
            optimizer.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(head(features[rows]), labels[rows]).backward()
            optimizer.step()
        current = score(head)
        if current > best:
            best, best_epoch = current, epoch
            best_state = {name: value.clone() for name, value in head.state_dict().items()}
        elif epoch - best_epoch >= settings.patience:
            break
    head.load_state_dict(best_state)
    return head, best_epoch, best
