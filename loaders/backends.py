"""Who brings planned crops to the device: each backend behind the same interface, loaded where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from clmr.errors import ConfigError
from loaders.crops import CropReader
from loaders.planned import PairCrops
from loaders.prefetch import Prefetch, Prefetcher
from loaders.slabs import SlabPool


def start_backend(
    name: str,
    blocks: Iterator[Sequence[PairCrops]],
    reader: CropReader,
    slabs: SlabPool,
    device: torch.device,
    depth: int,
) -> Prefetch[PairCrops]:
    """Batches of a plan by the backend of this name."""
    if name == "torch":
        return Prefetcher(blocks, reader, slabs, device, depth)
    if name == "dali":
        from loaders.dali import DaliPrefetch

        return DaliPrefetch(blocks, reader, slabs, device, depth)
    raise ConfigError(f"backend {name!r} is not there yet")
