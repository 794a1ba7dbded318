"""NT-Xent, the normalised temperature-scaled cross-entropy of paper section 2.4, over all ranks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.collectives import gather_rows, rank, world_size
from clmr.errors import ConfigError


class ContrastiveOutput(NamedTuple):
    """What one batch of pairs gives."""

    loss: Tensor
    """NT-Xent, the mean over this rank's 2n anchors; a scalar with gradient."""

    accuracy: Tensor
    """Share of this rank's anchors whose positive is their nearest key; a scalar without gradient."""


def contrastive_output(z_i: Tensor, z_j: Tensor, temperature: float = 0.5) -> ContrastiveOutput:
    """NT-Xent loss and top-1 accuracy of the contrastive task, from the same similarities.

    Each of this rank's 2n projections is an anchor; its positive is the other view of the same track and its negatives
    are the other 2(N - 1) projections of all ranks' N pairs (equation 1). Average the loss, or the parameters'
    gradients, over ranks to get what one process would compute from the whole batch.

    Args:
        z_i: projections of the first views, shape ``[n, D]``, the same on every rank; of any length, they are
            normalised here.
        z_j: projections of the second views, row by row the same tracks, shape ``[n, D]``.
        temperature: tau, > 0.

    Raises:
        ConfigError: the shapes do not fit, there is only one pair in all, or the temperature is not positive.
    """
    if z_i.ndim != 2 or z_i.shape != z_j.shape:
        raise ConfigError(f"NT-Xent takes two [n, D] tensors of one shape, got {list(z_i.shape)} and {list(z_j.shape)}")
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature must be a positive number, got {temperature}; the paper uses 0.5")
    pairs = z_i.shape[0]
    if pairs * world_size() < 2:
        raise ConfigError(
            f"NT-Xent needs negatives: at least 2 pairs over all ranks, got {pairs}; raise the batch size"
        )

    # Half precision holds three digits; exp(similarity / tau) needs more. Autocast would undo the cast inside matmul.
    with torch.autocast(z_i.device.type, enabled=False):
        wide = torch.promote_types(z_i.dtype, torch.float32)
        anchors = F.normalize(torch.cat([z_i.to(wide), z_j.to(wide)]), dim=1)
        keys = gather_rows(anchors)  # [W * 2n, D]: rank r's rows are its n first views, then its n second views
        logits = anchors @ keys.T / temperature  # [2n, W * 2n]
        # Anchor a of rank r is key first + a, which is left out of its own sum (the indicator [k != i]); its positive
        # is the key n rows away within the rank's 2n.
        row = torch.arange(2 * pairs, device=logits.device)
        first = rank() * 2 * pairs
        logits = logits.masked_fill(row[:, None] + first == torch.arange(len(keys), device=row.device), float("-inf"))
        positive = first + (row + pairs) % (2 * pairs)
        loss = F.cross_entropy(logits, positive)
        accuracy = (logits.detach().argmax(dim=1) == positive).to(loss.dtype).mean()
    return ContrastiveOutput(loss, accuracy)


def nt_xent_loss(z_i: Tensor, z_j: Tensor, temperature: float = 0.5) -> Tensor:
    """The loss of :func:`contrastive_output` alone: a scalar.

    Example:
        >>> import torch
        >>> z = torch.eye(2)
        >>> round(nt_xent_loss(z, z, temperature=1.0).item(), 4)  # ln(e + 2) - 1
        0.5514
    """
    return contrastive_output(z_i, z_j, temperature).loss
