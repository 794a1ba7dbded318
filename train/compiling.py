"""torch.compile of the model's forward and backward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from clmr.errors import ConfigError


def _call(model: nn.Module, views: Tensor) -> Tensor:
    z: Tensor = model(views)
    return z


@cache
def _compiled(backend: str) -> Callable[[nn.Module, Tensor], Tensor]:
    # All batches of a run have one shape: what is compiled for it needs no other.
    return torch.compile(_call, backend=backend, dynamic=False)


def compiled(model: nn.Module, backend: str = "inductor") -> Callable[[Tensor], Tensor]:
    """``model`` as a compiled function of the views; compiled in the first call, which takes minutes.

    The model itself is no part of what is compiled but an argument of it. So it stays the module it was, with the names
    its checkpoints have, and a copy of it, such as the one that measures the ceilings, is not compiled again.

    Args:
        model: encoder and projector.
        backend: of torch.compile.

    Raises:
        ConfigError: there are several processes. torch 2.11 compiles the exchange of batch statistics without its
            gradient: most of the encoder would get none, and nothing would say so.
    """
    if isinstance(model, DistributedDataParallel):
        raise ConfigError("--compile is for one process: torch loses gradients between several; give --fused instead")
    return partial(_compiled(backend), model)
