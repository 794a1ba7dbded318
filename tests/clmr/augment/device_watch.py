"""A device without a device: notices whatever would make the host wait for a GPU, on a machine that has none.

Tensors of torch's meta device have no values, so what asks for one (``item``, ``nonzero``, a boolean mask as an index,
``cpu``, ``if tensor``) fails by itself. What waits only for a copy to the device is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")

# They copy a list to the device from ordinary memory; the dispatcher does not see it.
FROM_LISTS = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


class WouldWaitError(AssertionError):
    """The host would wait for the device."""


class Calls(TorchFunctionMode):
    """Refuses device tensors made of lists."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in FROM_LISTS and result.device == META:
            raise WouldWaitError(f"{func.__name__} makes a device tensor of a list")
        return result


class Operations(TorchDispatchMode):
    """Host and device may meet in copies that do not block, and in no other operation."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        # A scalar tensor of the host is an argument of the kernel.
        before = {leaf.device for leaf in tree_leaves((args, given)) if isinstance(leaf, Tensor) and leaf.ndim}
        after = {leaf.device for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        sent = str(func).startswith("aten._to_copy") and given.get("non_blocking")
        if len(before | after) > 1 and not sent:
            raise WouldWaitError(f"{func} joins host and device")
        return result


@contextmanager
def on_meta() -> Iterator[None]:
    """Inside of it the code may switch autocast off, which the meta device does not have."""
    with patch("torch.autocast", lambda *_, **__: nullcontext()):
        yield


@contextmanager
def device_watched() -> Iterator[None]:
    """Inside of it nothing may wait for the device."""
    with on_meta(), Calls(), Operations():  # type: ignore[no-untyped-call]  # torch's constructor has no annotations
        yield
