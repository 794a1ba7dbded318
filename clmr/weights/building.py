"""Modules from named tensors: rate and width told by the shapes; keys, shapes and values checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from clmr.encoder import POOLS, SampleCNN
from clmr.errors import ConfigError, ResumeError
from clmr.projector import Projector

LAST = "sequential.10.0.weight"
M = TypeVar("M", bound=nn.Module)


def build_encoder(tensors: Mapping[str, Tensor], source: str) -> SampleCNN:
    """The encoder in evaluation mode, float32.

    Its sample rate follows from the kernels of the nine middle convolutions, its width from the last one.

    Args:
        tensors: keys of ``SampleCNN``.
        source: the file, for messages.

    Raises:
        ResumeError: keys, shapes or values do not make an encoder.
    """
    kernels = []
    for layer in range(1, 10):
        weight = _named(tensors, f"sequential.{layer}.0.weight", 3, "encoder", source)
        kernels.append(weight.shape[2])
    rates = [rate for rate, pools in POOLS.items() if list(pools) == kernels]
    if not rates:
        known = ", ".join(f"{list(pools)} at {rate} Hz" for rate, pools in POOLS.items())
        raise ResumeError(f"{source}: no encoder has the kernels {kernels}; known are {known}")
    width = _named(tensors, LAST, 3, "encoder", source).shape[0]
    try:
        return filled(lambda: SampleCNN(rates[0], width), tensors, "encoder", source)
    except ConfigError as error:
        raise ResumeError(f"{source}: {LAST} has {width} output channels, but {error}") from error


def build_projector(tensors: Mapping[str, Tensor], width: int, source: str) -> Projector:
    """The projection head of an encoder of ``width`` features; see :func:`build_encoder`."""
    hidden = _named(tensors, "0.weight", 2, "projector", source).shape[0]
    out = _named(tensors, "2.weight", 2, "projector", source).shape[0]
    return filled(lambda: Projector(width, hidden, out), tensors, "projector", source)


def build_head(tensors: Mapping[str, Tensor], width: int, source: str) -> nn.Sequential:
    """The classifier on ``width`` features, a linear layer or two with ReLU between; its outputs are logits."""
    first = _named(tensors, "0.weight", 2, "head", source).shape[0]
    if not any(name.startswith("2.") for name in tensors):
        return filled(lambda: nn.Sequential(nn.Linear(width, first)), tensors, "head", source)
    classes = _named(tensors, "2.weight", 2, "head", source).shape[0]
    return filled(
        lambda: nn.Sequential(nn.Linear(width, first), nn.ReLU(), nn.Linear(first, classes)), tensors, "head", source
    )


def filled(make: Callable[[], M], tensors: Mapping[str, Tensor], part: str, source: str) -> M:
    """The module that ``make`` gives with these weights, in evaluation mode.

    It is made without memory first: what a file says of its sizes decides nothing before all its tensors have them.
    """
    try:
        with torch.device("meta"):
            expected = make().state_dict()
    except RuntimeError as error:  # a size beyond what torch can count
        raise ResumeError(f"{source}: no {part} is as large as its weights say") from error
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    if missing or unexpected:
        found = [f"{names[0]} is {what}" for what, names in (("missing", missing), ("unexpected", unexpected)) if names]
        raise ResumeError(
            f"{source} does not hold a whole {part}: {' and '.join(found)} "
            f"({len(missing)} missing, {len(unexpected)} unexpected keys)"
        )
    for name, value in expected.items():
        got = tensors[name]
        if got.shape != value.shape:
            raise ResumeError(f"{source}: {part} {name} has shape {list(got.shape)}, expected {list(value.shape)}")
        if value.is_floating_point() != got.is_floating_point() or got.is_complex():
            raise ResumeError(f"{source}: {part} {name} has dtype {got.dtype}, expected {value.dtype}")
        # What overflows float32 is caught as well.
        if not got.to(value.dtype).isfinite().all():
            raise ResumeError(f"{source}: {part} {name} holds values that are not finite; the weights are useless")
        if name.endswith("running_var") and (got < 0).any():
            raise ResumeError(f"{source}: {part} {name} holds negative variances; the weights are useless")
    module = make()
    module.load_state_dict(dict(tensors))
    return module.eval()


def _named(tensors: Mapping[str, Tensor], name: str, dimensions: int, part: str, source: str) -> Tensor:
    if name not in tensors:
        near = f"; its first key is {next(iter(tensors))}" if tensors else ""
        raise ResumeError(f"{source} does not hold a whole {part}: {name} is missing{near}")
    if tensors[name].ndim != dimensions:
        raise ResumeError(f"{source}: {part} {name} has shape {list(tensors[name].shape)}, not {dimensions} dimensions")
    if not tensors[name].numel():
        raise ResumeError(f"{source}: {part} {name} has shape {list(tensors[name].shape)}, which holds no number")
    return tensors[name]
