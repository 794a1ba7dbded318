"""Encoder and projector as pretraining uses them: two views in, two projections out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clmr.encoder import SampleCNN
from clmr.errors import ConfigError


class ContrastiveModel(nn.Module):
    """Projections of both views of every pair.

    The encoder sees one view at a time, as in the authors' code: its batch normalisation takes statistics over the B
    first views, then over the B second views (over all ranks' B each), and its running statistics move twice a step.

    Args:
        encoder: turns ``[B, 1, T]`` into features ``[B, width]``.
        projector: turns features into projections ``[B, D]``.
    """

    def __init__(self, encoder: SampleCNN, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector

    def forward(self, views: Tensor) -> Tensor:
        """Project.

        Args:
            views: both views of B tracks, shape ``[2, B, 1, T]``, in +-1.

        Returns:
            z, shape ``[2, B, D]``.
        """
        if views.ndim != 4 or views.shape[0] != 2:
            raise ConfigError(f"views must have shape [2, B, 1, T], got {list(views.shape)}")
        return torch.stack([self.projector(self.encoder(view)) for view in views])
