"""torch.compile of the model's forward and backward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from clmr import batchnorm, encoder

EXCHANGES = ((batchnorm, "over_ranks"), (encoder, "over_ranks"), (batchnorm, "normalise_over_ranks"))
"""Where the model calls what exchanges batch statistics between the processes."""


def _call(model: nn.Module, views: Tensor) -> Tensor:
    z: Tensor = model(views)
    return z


@cache
def _leave_exchanges_out() -> None:
    """Have torch.compile break its graphs at the exchanges, whose gradient it would lose without a word.

    Done when something is compiled, and not by decorators: those would have every command wait for torch's compiler.
    """
    for module, name in EXCHANGES:
        setattr(module, name, torch.compiler.disable(getattr(module, name)))


@cache
def _compiled(backend: str) -> Callable[[nn.Module, Tensor], Tensor]:
    # All batches of a run have one shape: what is compiled for it needs no other.
    return torch.compile(_call, backend=backend, dynamic=False)


def compiled(model: nn.Module, backend: str = "inductor") -> Callable[[Tensor], Tensor]:
    """``model`` as a compiled function of the views; compiled in the first call, which takes minutes.

    The model itself is no part of what is compiled but an argument of it. So it stays the module it was, with the names
    its checkpoints have, and a copy of it, such as the one that measures the ceilings, is not compiled again. Between
    several processes only what lies between the exchanges of batch statistics is compiled.

    Args:
        model: encoder and projector.
        backend: of torch.compile.
    """
    if isinstance(model, DistributedDataParallel):
        _leave_exchanges_out()
    return partial(_compiled(backend), model)
