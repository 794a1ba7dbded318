"""Encoder and projector as pretraining uses them: two views in, two projections out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clmr.encoder import SampleCNN
from clmr.errors import ConfigError

BATCH_STATISTICS = ("view", "both")


class ContrastiveModel(nn.Module):
    """Projections of both views of every pair.

    With batch statistics per ``view``, as in the authors' code, batch normalisation takes them over the B first views,
    then over the B second views (over all ranks' B each), and its running statistics move twice a step. Over ``both``
    they are taken over all 2B views at once, as most other contrastive learners do, and the running ones move once.

    Args:
        encoder: turns ``[B, 1, T]`` into features ``[B, width]``.
        projector: turns features into projections ``[B, D]``.
        batch_statistics: ``view`` or ``both``.
    """

    def __init__(self, encoder: SampleCNN, projector: nn.Module, batch_statistics: str = "view") -> None:
        super().__init__()
        if batch_statistics not in BATCH_STATISTICS:
            raise ConfigError(
                f"batch_statistics must be one of {', '.join(BATCH_STATISTICS)}, got {batch_statistics!r}"
            )
        self.encoder = encoder
        self.projector = projector
        self.batch_statistics = batch_statistics

    def forward(self, views: Tensor) -> Tensor:
        """Project.

        Args:
            views: both views of B tracks, shape ``[2, B, 1, T]``, in +-1.

        Returns:
            z, shape ``[2, B, D]``.
        """
        if views.ndim != 4 or views.shape[0] != 2:
            raise ConfigError(f"views must have shape [2, B, 1, T], got {list(views.shape)}")
        groups = 2 if self.batch_statistics == "view" else 1
        # One pass of 2B rows keeps a GPU busy at small batches, and over ranks takes half the exchanges. A CPU is busy
        # anyway, and two passes spare it the copy that puts the groups together again.
        if groups == 2 and not views.is_cuda:
            return torch.stack([self.projector(self.encoder(view)) for view in views])
        z: Tensor = self.projector(self.encoder(views.flatten(0, 1), groups=groups)).unflatten(0, views.shape[:2])
        return z
