"""SampleCNN with dropout and a linear classifier, trained end to end (Lee et al., 2018; paper Table 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clmr import SampleCNN
from clmr.draw import make_keys, uniform


class SupervisedSampleCNN(nn.Module):
    """Logits of every window.

    The classifier is called ``fc``, as in the authors' supervised encoder: so :func:`clmr.load_official` finds encoder
    and classifier in a checkpoint.

    Args:
        encoder: turns ``[B, 1, T]`` into features ``[B, width]``.
        classes: labels of the vocabulary, C.
        dropout: share of the features that is dropped in training, 0 <= p < 1.
    """

    def __init__(self, encoder: SampleCNN, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.fc = nn.Linear(encoder.width, classes)
        self.dropout = dropout

    def forward(self, audio: Tensor, keys: Tensor | None = None) -> Tensor:
        """Classify.

        Args:
            audio: ``[B, 1, T]``, in +-1.
            keys: int64 ``[B, width]`` of :func:`dropout_keys`, on the device of ``audio``; None drops nothing.

        Returns:
            Logits ``[B, C]``.
        """
        features = self.encoder(audio)
        if keys is not None:
            # h <- h * [u >= p] / (1 - p), whose mean over u is h
            kept = uniform(keys, "supervised.dropout") >= self.dropout
            features = features * kept.to(features.dtype) / (1 - self.dropout)
        logits: Tensor = self.fc(features)
        return logits


def dropout_keys(seed: int, epoch: int, windows: Tensor, width: int) -> Tensor:
    """Draw keys of every feature of some windows, int64 ``[B, width]``: the same for any number of ranks."""
    return torch.from_numpy(make_keys(seed, epoch, windows.numpy(), views=range(width)))


def summed_loss(logits: Tensor, labels: Tensor, task: str) -> Tensor:
    """Loss summed over the windows, so that ranks with unequal shares add up to one batch.

    Args:
        logits: ``[B, C]``.
        labels: bool ``[B, C]``; exactly one is set for the task classes.
        task: ``tags``: binary cross entropy, the mean over C; ``classes``: cross entropy.
    """
    if task == "classes":
        return F.cross_entropy(logits, labels.int().argmax(dim=1), reduction="sum")
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="sum") / labels.shape[1]


def probabilities(logits: Tensor, task: str) -> Tensor:
    """Of every label: ``[B, C]`` -> float64 ``[B, C]``."""
    logits = logits.double()
    return logits.softmax(dim=1) if task == "classes" else logits.sigmoid()
