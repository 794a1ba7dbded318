"""clmr.augment's chain: a batch of crops in, a batch of views out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch

from benchmarks.contenders.augment_crops import SAMPLE_RATE, Effects, check_views, load_crops
from clmr import draw
from clmr.augment import Chain

VIEWS = 192  # the paper's batch of 96 pairs


def chain_of(effects: Effects, sample_rate: int = SAMPLE_RATE) -> Chain:
    """The paper preset's operations of these names with these probabilities.

    Raises:
        LookupError: the preset does not have one of them.
    """
    operations = Chain.preset("paper", sample_rate).operations
    if missing := set(effects) - {each.name for each in operations}:
        raise LookupError(f"the paper preset has no {', '.join(sorted(missing))}")
    kept = Chain([each for each in operations if each.name in effects], sample_rate)
    return kept.with_probability(effects)


def views(crops: str, effects: Effects, threads: int, batch: int = VIEWS) -> Iterator[int]:
    """Chain.preset("paper") on batches of 192 crops in float32, no worker processes.

    Every batch has draw keys of its own: the table is drawn, applied, and the views are dropped.
    """
    torch.set_num_threads(threads)
    pcm = load_crops(crops)
    audio = torch.from_numpy(np.resize(pcm, (batch, pcm.shape[1])))[:, None]
    chain = chain_of(effects)
    for number in count():
        keys = torch.from_numpy(draw.make_keys(0, number, np.arange(batch), (0,))[:, 0])
        after = chain(audio, keys)
        if number == 0:
            check_views(audio.numpy(), after.numpy(), effects)
        yield batch
