"""bfloat16, TF32, the fused and the compiled way: what each changes, and what none may."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target, WrongError
from benchmarks.gpu.compare import at_most, cosine
from benchmarks.gpu.model import compared, pairs_of, size_of, step
from benchmarks.gpu.steps import BareStep, views_of

# Of the gradient's angle to float64's, untrained and with a dozen pairs, where batch norm enlarges every rounding.
LEAST_COSINE = {"tf32": 0.95, "bf16": 0.5}
PROJECTIONS = {"tf32": 0.05, "bf16": 0.3}  # relative difference of their length
MORE_THAN_EAGER = 0.05  # of the cosine: what another order of bfloat16 sums may lose


def _size(target: Target) -> dict[str, Any]:
    """The paper's encoder."""
    return size_of(target) if target.quick else {"width": 512, "sample_rate": 22050}


@cache
def _exact(target: Target) -> BareStep:
    """A step in float64, on the device: that this is the CPU's, benchmarks/gpu/model.py shows of a narrower encoder."""
    size = _size(target)
    wanted = BareStep(target.device, "float64", **size)
    wanted.gradient(views_of(pairs_of(target), size["sample_rate"]).to(target.device).double())
    return wanted


def _pair(target: Target, precision: str, way: str) -> tuple[BareStep, BareStep]:
    """The same step done as asked for, and in float64."""
    if way == "compiled" and target.quick:
        raise NotCheckedError("compiling takes too long for a quick look")
    if way == "compiled":
        target.need_time(45)
    size = _size(target)
    got = BareStep(target.device, precision, way, **size)
    got.gradient(views_of(pairs_of(target), size["sample_rate"]).to(target.device))
    return got, _exact(target)


def _apart(got: Tensor, wanted: Tensor) -> float:
    """Length of the difference over the length of what is wanted."""
    return float((got.detach().double() - wanted.detach()).norm() / wanted.detach().norm())


def exact(target: Target, way: str) -> Figures:
    """A way of computing a float32 step."""
    got, wanted = _pair(target, "float32", way)
    return compared(got, wanted, "float32")


def rounded(target: Target, precision: str, way: str) -> Figures:
    """A way of computing in less than float32: near float64, and as near as the plain way."""
    if precision == "tf32" and target.on_gpu and torch.cuda.get_device_capability(target.device)[0] < 8:
        raise NotCheckedError("this GPU has no TF32")
    got, wanted = _pair(target, precision, way)
    found = {
        "projections": at_most(
            "projections, relative difference", _apart(got.projected, wanted.projected), PROJECTIONS[precision]
        ),
        "cosine": cosine(got.gradients(), wanted.gradients()),
    }
    least = LEAST_COSINE[precision]
    if way != "eager":
        plain, _ = _pair(target, precision, "eager")
        found["cosine_eager"] = cosine(plain.gradients(), wanted.gradients())
        least = min(least, found["cosine_eager"]) - MORE_THAN_EAGER
    if not found["cosine"] >= least:
        raise WrongError(f"the gradient's cosine to float64's is {found['cosine']:.4f}, at least {least:.4f} wanted")
    return found


def memory(target: Target) -> Figures:
    """What a step takes at its peak, by way and precision."""
    target.need_gpu("torch counts the memory of GPUs")
    pairs, found = 24, {}
    views = views_of(pairs).to(target.device)
    for precision in ("bf16", "tf32"):
        for way in ("eager", "fused"):
            torch.cuda.empty_cache()
            step = BareStep(target.device, precision, way)
            step.step(views)
            torch.cuda.reset_peak_memory_stats(target.device)
            held = torch.cuda.memory_allocated(target.device)
            step.step(views)
            taken = torch.cuda.max_memory_allocated(target.device) - held
            found[f"{precision}, {way}, bytes a view"] = taken / (2 * pairs)
            del step
        if found[f"{precision}, fused, bytes a view"] >= found[f"{precision}, eager, bytes a view"]:
            raise WrongError(f"in {precision} the fused way takes no less memory than the eager one")
    return found


def large(target: Target, precision: str, way: str) -> Figures:
    """A batch whose first activation has more than 2^31 numbers: the same pairs many times over.

    Repeated rows have the batch statistics of one copy, so every copy must have that one's projections, up to the
    rounding of sums; and the gradient of their mean is that of one copy.
    """
    target.need_gpu("no CPU takes so many rows in time")
    few, numbers = 8, 128 * 19683
    copies = -(-(2**31 + 2**28) // (2 * few * numbers))
    a_view = {"eager": 45e6, "fused": 12e6}[way] * (1 if precision == "bf16" else 2)
    target.need_bytes(2 * few * copies * a_view + 6e9)
    views = views_of(few).to(target.device)
    small, whole = (BareStep(target.device, precision, each) for each in ("eager", way))
    generator = torch.Generator(target.device).manual_seed(0)
    slope = torch.randn(2, few, 128, generator=generator, device=target.device)
    for step_of, times in ((small, 1), (whole, copies)):
        with step_of.precision.forward():
            step_of.projected = step_of.project(views.repeat(1, times, 1, 1))
        with step_of.precision.backward():
            step_of.projected.backward((slope / times).repeat(1, times, 1).to(step_of.projected.dtype))
    least, most = (0.999, 0.01) if precision == "float32" else (0.7, 0.3)
    last = whole.projected[:, -few:].double()
    found = {
        "numbers": 2 * few * copies * numbers,
        "projections": at_most("the last rows, relative difference", _apart(last, small.projected.double()), most),
        "cosine": cosine(whole.gradients(), small.gradients()),
    }
    if not found["cosine"] >= least:
        raise WrongError(f"the gradient's cosine to a small batch's is {found['cosine']:.4f}, at least {least} wanted")
    return found


CHECKS = (
    Check("float32", "nearly float64, with the paper's encoder", partial(exact, way="eager")),
    Check("tf32", "near float64", partial(rounded, precision="tf32", way="eager")),
    Check("bf16", "near float64", partial(rounded, precision="bf16", way="eager")),
    Check(
        "fused, float32 and float64",
        "the same function, gradients and running statistics",
        partial(step, batch_statistics="view", way="fused"),
    ),
    Check(
        "fused, statistics over both views",
        "the same function, gradients and running statistics",
        partial(step, batch_statistics="both", way="fused"),
    ),
    Check("fused, tf32", "as near as eager", partial(rounded, precision="tf32", way="fused")),
    Check("fused, bf16", "as near as eager", partial(rounded, precision="bf16", way="fused")),
    Check("memory of a step", "the fused way keeps less", memory),
    Check(
        "fused, more than 2^31 numbers",
        "no index of a large batch overflows",
        partial(large, precision="float32", way="fused"),
    ),
    Check(
        "eager, more than 2^31 numbers",
        "no index of a large batch overflows",
        partial(large, precision="bf16", way="eager"),
    ),
    Check("compiled, float32", "the same function, gradients and running statistics", partial(exact, way="compiled")),
    Check("compiled, bf16", "as near as eager", partial(rounded, precision="bf16", way="compiled")),
)
