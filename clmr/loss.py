"""NT-Xent, the normalised temperature-scaled cross-entropy of paper section 2.4, over all ranks.

The similarities of N pairs are a matrix of 2N by 2N numbers, 4.3 GB in float32 at N = 16,384, and autograd would keep
several of its size. Large ones are therefore made and used up in blocks of rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.collectives import gather_rows, rank, world_size
from clmr.errors import ConfigError

WHOLE = 2**26  # most similarities that are kept at once: 4096 pairs of one process; 256 MiB in float32
BLOCK = 2**24  # similarities in a block of a larger matrix, unless one row has more; 64 MiB in float32


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

    Memory grows with N, not with its square: batches with more than ``WHOLE`` similarities on a rank are computed in
    blocks of rows, and their gradient with them, so the loss cannot be differentiated twice there.

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
        # Anchor a of rank r is key first + a, which is left out of its own sum (the indicator [k != i]); its positive
        # is the key n rows away within the rank's 2n.
        row = torch.arange(2 * pairs, device=keys.device)
        first = rank() * 2 * pairs
        positive = first + (row + pairs) % (2 * pairs)
        if len(anchors) * len(keys) > WHOLE:
            return ContrastiveOutput(*_blocks_of_rows(anchors, keys, positive, first, temperature))
        logits = anchors @ keys.T / temperature  # [2n, W * 2n]
        logits = logits.masked_fill(row[:, None] + first == torch.arange(len(keys), device=row.device), float("-inf"))
        loss = F.cross_entropy(logits, positive)
        accuracy = (logits.detach().argmax(dim=1) == positive).to(loss.dtype).mean()
    return ContrastiveOutput(loss, accuracy)


class _CrossEntropyInBlocks(torch.autograd.Function):
    """Mean cross-entropy of ``anchors @ keys.T / temperature`` without anchors' own keys, and the top-1 accuracy.

    The gradient of a mean is known up to one factor before the backward pass begins, so it is taken from each block
    while that is there: no block is kept, and none is computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, keys: Tensor, positive: Tensor, first: int, temperature: float, gradient: bool
    ) -> tuple[Tensor, Tensor]:
        rows = max(1, BLOCK // len(keys))
        losses, hits = anchors.new_empty(len(anchors)), anchors.new_empty(len(anchors))
        d_anchors, d_keys = (torch.zeros_like(each) if gradient else None for each in (anchors, keys))
        block = anchors.new_empty(min(rows, len(anchors)), len(keys))
        for start in range(0, len(anchors), rows):
            part = slice(start, start + rows)
            wanted = positive[part, None]
            logits = torch.mm(anchors[part], keys.T, out=block[: len(wanted)]).div_(temperature)
            logits.diagonal(first + start).fill_(float("-inf"))
            at_positive = logits.gather(1, wanted)
            largest, nearest = logits.max(dim=1, keepdim=True)
            hits[part] = (nearest == wanted).squeeze(1)
            exponentials = logits.sub_(largest).exp_()
            total = exponentials.sum(dim=1, keepdim=True)
            losses[part] = (total.log() + largest - at_positive).squeeze(1)
            if d_anchors is not None and d_keys is not None:
                # dL/dlogit = (softmax - [key is the positive]) / rows, and a logit is a . k / temperature.
                slope = exponentials.div_(total)
                slope.scatter_add_(1, wanted, torch.full_like(total, -1)).div_(len(anchors) * temperature)
                torch.mm(slope, keys, out=d_anchors[part])
                d_keys.addmm_(slope.T, anchors[part])
        if d_anchors is not None and d_keys is not None:
            ctx.save_for_backward(d_anchors, d_keys)
        accuracy = hits.mean()
        ctx.mark_non_differentiable(accuracy)
        return losses.mean(), accuracy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: what is saved is a number by now and would count as a constant
            raise ConfigError(
                f"NT-Xent of more than {WHOLE} similarities, computed in blocks, cannot be differentiated twice; "
                "use fewer pairs"
            )
        d_anchors, d_keys = ctx.saved_tensors
        return gradients[0] * d_anchors, gradients[0] * d_keys, None, None, None, None


def _blocks_of_rows(
    anchors: Tensor, keys: Tensor, positive: Tensor, first: int, temperature: float
) -> tuple[Tensor, Tensor]:
    gradient = torch.is_grad_enabled() and anchors.requires_grad
    loss, accuracy = _CrossEntropyInBlocks.apply(anchors, keys, positive, first, temperature, gradient)  # type: ignore[no-untyped-call]  # torch.autograd.Function is untyped
    return loss, accuracy


def nt_xent_loss(z_i: Tensor, z_j: Tensor, temperature: float = 0.5) -> Tensor:
    """The loss of :func:`contrastive_output` alone: a scalar.

    Example:
        >>> import torch
        >>> z = torch.eye(2)
        >>> round(nt_xent_loss(z, z, temperature=1.0).item(), 4)  # ln(e + 2) - 1
        0.5514
    """
    return contrastive_output(z_i, z_j, temperature).loss
