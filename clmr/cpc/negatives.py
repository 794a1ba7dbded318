"""Which latents of the batch serve as negatives: drawn by key, so that ranks and resumption do not change them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clmr.draw import GOLDEN, mix, stream_number
from clmr.errors import ConfigError

STREAM = "cpc.negatives"


def draw_negatives(
    keys: Tensor, latents: int, steps: int, negatives: int, *, sequences: int | None = None, first: int = 0
) -> Tensor:
    """Draw the negatives of every context from all latents of the batch (paper section 2.5).

    They serve all K predictions of their context, so each of these asks which of the same latents comes next. Any
    latent of any sequence may be drawn, also twice, except the K positives of this very context. The random numbers
    follow from the sequence's key and the position alone; the batch decides only which latents there are to take.

    Args:
        keys: draw key of each of this rank's sequences, int64, shape ``[n]``, on the CPU.
        latents: L, latents of a sequence, > ``steps``.
        steps: K.
        negatives: J, per context, >= 1.
        sequences: N, those of all ranks together; None for ``n``.
        first: number of this rank's first sequence among them.

    Returns:
        int64, shape ``[n, L - 1, J]``, on the CPU: rows of the N sequences' latents laid end to end, in [0, N L).

    Raises:
        ConfigError: there are no steps or no negatives, or there are too few latents.
    """
    if not 1 <= steps < latents or negatives < 1:
        raise ConfigError(
            f"CPC needs at least 1 step, more latents than steps and at least 1 negative, got {steps} steps, "
            f"{latents} latents and {negatives} negatives"
        )
    rows = len(keys)
    contexts = latents - 1
    # SplitMix64: word i of a key is mix(state + i * GOLDEN), i = t J + j; then the 53 leading bits as u in [0, 1).
    state = mix(keys.numpy().view(np.uint64) ^ np.uint64(stream_number(STREAM)))
    counter = np.arange(1, contexts * negatives + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    words = mix(state[:, None] + counter).reshape(rows, contexts, negatives)
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    # Context t of sequence i has m positives, the rows i L + t + 1 .. i L + t + m: draw one of the N L - m others and
    # step over them.
    t = np.arange(contexts)[None, :, None]
    positives = np.minimum(steps, contexts - t)
    pool = (rows if sequences is None else sequences) * latents
    row = np.floor(uniform * (pool - positives)).astype(np.int64)
    begin = (first + np.arange(rows))[:, None, None] * latents + t + 1
    return torch.from_numpy(row + positives * (row >= begin))
