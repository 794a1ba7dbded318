"""InfoNCE, the loss of contrastive predictive coding (van den Oord et al., 2018, equation 4), over all ranks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.collectives import gather_rows
from clmr.errors import ConfigError


class InfoNceOutput(NamedTuple):
    """What one batch of sequences gives."""

    loss: Tensor
    """InfoNCE, the mean over this rank's sequences; a scalar with gradient. ln(1 + J) where all scores are equal."""

    accuracy: Tensor
    """Share of this rank's predictions that fit their positive best; a scalar without gradient."""


def prediction_weights(contexts: int, steps: int, device: torch.device | None = None) -> Tensor:
    """Weight of every prediction in the mean, float64 ``[contexts, K]`` on ``device``; they add up to 1.

    Context t (from 0) can predict k steps where t + k <= ``contexts``; beyond is the end, weight 0. Every k counts the
    same: first the mean over the contexts that can, then the mean over k.
    """
    t = torch.arange(contexts, device=device)[:, None]
    k = torch.arange(1, steps + 1, device=device)
    there = (t + k <= contexts).double()
    return there / (there.sum(dim=0) * steps)


def info_nce(z: Tensor, predictions: Tensor, negatives: Tensor) -> InfoNceOutput:
    """InfoNCE and the share of predictions that are right.

    Negatives come from the latents of ALL ranks. Average the loss, or the parameters' gradients, over ranks to get what
    one process would compute from the whole batch.

    Args:
        z: latents of this rank's sequences, shape ``[n, L, D]``, the same on every rank.
        predictions: W_k c_t, shape ``[n, L - 1, K, D]``, K < L.
        negatives: from :func:`clmr.cpc.draw_negatives`, int64 ``[n, L - 1, J]``, on the device of ``z``.

    Raises:
        ConfigError: the shapes do not fit each other.
    """
    if z.ndim != 3 or predictions.ndim != 4 or negatives.ndim != 3:
        raise ConfigError(
            f"InfoNCE takes latents [n, L, D], predictions [n, L - 1, K, D] and negatives [n, L - 1, J], got "
            f"{list(z.shape)}, {list(predictions.shape)} and {list(negatives.shape)}"
        )
    rows, latents, width = z.shape
    steps = predictions.shape[2]
    contexts = (rows, latents - 1)
    fits = predictions.shape[:2] == negatives.shape[:2] == contexts and predictions.shape[3] == width
    if not fits or not 1 <= steps < latents:
        raise ConfigError(
            f"InfoNCE: latents {list(z.shape)} do not fit predictions {list(predictions.shape)} and negatives "
            f"{list(negatives.shape)}; expected [n, L, D], [n, L - 1, K < L, D] and [n, L - 1, J]"
        )
    # Half precision holds three digits; exp(score) needs more. Autocast would undo the cast inside matmul.
    with torch.autocast(z.device.type, enabled=False):
        wide = torch.promote_types(z.dtype, torch.float32)
        z, predictions = z.to(wide), predictions.to(wide)
        # The K latents after each t, zeros beyond the end: [n, L - 1, D, K].
        future = F.pad(z[:, 1:], (0, 0, 0, steps - 1)).unfold(1, steps, 1)
        # An embedding's gradient, unlike that of an index, is summed in the same order every time on a GPU too.
        others = F.embedding(negatives, gather_rows(z).flatten(0, 1))  # [n, L - 1, J, D]
        # Scores are log-bilinear: f_k(z, c) = exp(z . W_k c).
        positive = (predictions * future.transpose(2, 3)).sum(dim=3)  # [n, L - 1, K]
        negative = predictions @ others.transpose(2, 3)  # [n, L - 1, K, J]
        # -ln (exp(positive) / (exp(positive) + sum exp(negative)))
        each = torch.cat([positive[..., None], negative], dim=3).logsumexp(dim=3) - positive
        weights = prediction_weights(latents - 1, steps, z.device).to(wide)
        loss = (each * weights).sum() / rows
        right = positive.detach() > negative.detach().amax(dim=3)
        accuracy = (right * weights).sum() / rows
    return InfoNceOutput(loss, accuracy)
