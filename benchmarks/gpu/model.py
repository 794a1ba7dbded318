"""NT-Xent, batch norm and the gradients of a step against the CPU in float64."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target, WrongError
from benchmarks.gpu.compare import all_close, apart, at_most, close
from benchmarks.gpu.steps import BareStep, views_of

LOSS = 1e-5  # gradients of a float32 loss; a logit near 10 is rounded by 6e-7
EXACT = 1e-8  # of float64 against float64: the same sums in another order
# Gradients of float32 against float64, as one vector: where a ReLU or a maximum is nearly a tie, rounding decides it,
# and moves single numbers by a tenth; TF32 moves all of them by more.
NETWORK = 0.05
FEATURES = 1e-3  # what they compute forward
STATISTICS = 1e-4
CPU = torch.device("cpu")


def size_of(target: Target) -> dict[str, Any]:
    """Of an encoder that a CPU soon computes in float64; benchmarks/gpu/precision.py takes the paper's width."""
    if target.quick:
        return {"width": 16, "sample_rate": 8000}
    return {"width": 128, "sample_rate": 22050}


def pairs_of(target: Target) -> int:
    """Few, and enough for the last layers' batch norms, which have one number a row."""
    return 4 if target.quick else 8


def _projections(pairs: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(pairs, 128, generator=generator)
    return torch.stack([first, first + 0.5 * torch.randn(pairs, 128, generator=generator)])


def _loss(z: Tensor, autocast: str = "") -> tuple[Tensor, Tensor]:
    """NT-Xent and its gradient."""
    from clmr import nt_xent_loss

    z = z.detach().requires_grad_()
    with torch.autocast(autocast or "cpu", torch.bfloat16, enabled=bool(autocast)):
        loss = nt_xent_loss(z[0], z[1])
    loss.backward()
    assert z.grad is not None
    return loss.detach(), z.grad


def loss(target: Target, autocast: bool = False) -> Figures:
    """From 2 pairs on; under autocast, of projections that are rounded to bfloat16 before."""
    worst = 0.0
    sizes = (2, 5) if target.quick else (2, 96, 1000)
    for pairs in sizes:
        z = _projections(pairs)
        if autocast:
            z = z.bfloat16().float()
        got, gradient = _loss(z.to(target.device), target.device.type if autocast else "")
        wanted, wanted_gradient = _loss(z.double())
        if got.dtype != torch.float32:
            raise WrongError(f"the loss is {got.dtype}, not float32")
        worst = max(worst, close(f"loss of {pairs} pairs", got, wanted, LOSS))
        worst = max(worst, close(f"its gradient at {pairs} pairs", gradient, wanted_gradient, LOSS))
    return {"relative_difference": worst, "pairs": list(sizes)}


def loss_of_bfloat16(target: Target) -> Figures:
    """Projections in bfloat16, as autocast hands them over: a float32 loss of them."""
    z = _projections(4 if target.quick else 512).bfloat16()
    got, _ = _loss(z.to(target.device), target.device.type)
    if got.dtype != torch.float32:
        raise WrongError(f"the loss of bfloat16 projections is {got.dtype}, not float32")
    return {"relative_difference": close("loss", got, _loss(z.double())[0], LOSS)}


def loss_in_blocks(target: Target) -> Figures:
    """More similarities than are kept at once."""
    pairs = 40 if target.quick else 4200
    z = _projections(pairs)
    wanted, wanted_gradient = _loss(z.double())
    # A small batch would be kept whole.
    with patch("clmr.loss.WHOLE", 1 if target.quick else 2**26):
        got, gradient = _loss(z.to(target.device))
    return {
        "pairs": pairs,
        "loss": close("loss", got, wanted, LOSS),
        "gradient": close("gradient", gradient, wanted_gradient, LOSS),
    }


def loss_of_16k(target: Target) -> Figures:
    """16,384 pairs, against float64 on the GPU itself."""
    target.need_gpu("a CPU takes minutes for 16,384 pairs in float64")
    target.need_bytes(3e9)
    z = _projections(16384).to(target.device)
    torch.cuda.reset_peak_memory_stats(target.device)
    held = torch.cuda.memory_allocated(target.device)
    got, gradient = _loss(z)
    peak = torch.cuda.max_memory_allocated(target.device) - held
    if peak > 2**31:
        raise WrongError(f"the loss of 16,384 pairs takes {peak / 1e9:.1f} GB: its blocks do not work")
    wanted, wanted_gradient = _loss(z.double())
    return {
        "peak_bytes": peak,
        "loss": close("loss", got, wanted, LOSS),
        "gradient": close("gradient", gradient, wanted_gradient, LOSS),
    }


def step(target: Target, batch_statistics: str, way: str = "eager") -> Figures:
    """Loss, projections, gradients and running statistics of one step; the CPU takes a pass for each view."""
    size, pairs = size_of(target), pairs_of(target)
    views = views_of(pairs, size["sample_rate"])
    wanted = BareStep(CPU, "float64", **size, batch_statistics=batch_statistics)
    wanted_loss = wanted.gradient(views.double())
    found: dict[str, dict[str, float]] = {}
    for precision in ("float64", "float32"):
        got = BareStep(target.device, precision, way, **size, batch_statistics=batch_statistics)
        got_loss = got.gradient(views.to(target.device, got.precision.dtype))
        found[precision] = compared(got, wanted, precision)
        found[precision]["loss"] = close("loss", got_loss, wanted_loss, EXACT if precision == "float64" else FEATURES)
    return found


def compared(got: BareStep, wanted: BareStep, precision: str) -> dict[str, float]:
    """A step's results, where they are as near to the CPU's as ``precision``, float64 or float32, can be."""
    if precision == "float64":
        return {
            "projections": close(f"{precision}: projections", got.projected, wanted.projected, EXACT),
            "gradient": all_close(f"{precision}: gradient", got.gradients(), wanted.gradients(), EXACT),
            "running_statistics": all_close("statistics", got.statistics(), wanted.statistics(), EXACT),
        }
    moved = apart(got.gradients(), wanted.gradients())
    return {
        "projections": close(f"{precision}: projections", got.projected, wanted.projected, FEATURES),
        "gradient": at_most(f"{precision}: gradient, length of the difference", moved, NETWORK),
        "running_statistics": all_close("statistics", got.statistics(), wanted.statistics(), STATISTICS),
    }


def several_steps(target: Target) -> Figures:
    """Five steps of Adam: the losses go down as the CPU's do."""
    size = size_of(target)
    views = views_of(pairs_of(target), size["sample_rate"])
    wanted, got = BareStep(CPU, "float64", **size), BareStep(target.device, "float32", **size)
    number = 3 if target.quick else 5
    theirs = torch.stack([wanted.step(views.double()) for _ in range(number)])
    ours = torch.stack([got.step(views.to(target.device)) for _ in range(number)])
    if not bool(ours[-1] < ours[0]):
        raise WrongError(f"the loss goes from {float(ours[0]):.4f} to {float(ours[-1]):.4f} in {number} steps")
    # Adam divides by the gradient's size, so the rounding of small gradients moves weights as far as large ones do.
    return {"losses": [float(each) for each in ours], "relative_difference": close("losses", ours, theirs, 0.02)}


def evaluation(target: Target) -> Figures:
    """Frozen features, the normalisation folded into the convolutions."""
    from train.precision import tf32

    size = size_of(target)
    views = views_of(pairs_of(target), size["sample_rate"])
    wanted, got = BareStep(CPU, "float64", **size), BareStep(target.device, "float32", **size)
    wanted.gradient(views.double())  # moves the running statistics
    got.model.load_state_dict(wanted.model.state_dict())
    with torch.no_grad(), tf32(allowed=False):
        theirs = wanted.model.encoder.eval()(views[0].double())
        ours = got.model.encoder.eval()(views[0].to(target.device))
    return {"relative_difference": close("features", ours, theirs, FEATURES)}


def stays_in_float32(target: Target) -> Figures:
    """TF32 is allowed to convolutions unless torch is told otherwise; a float32 step tells it."""
    target.need_gpu("TF32 is a GPU's")
    if torch.cuda.get_device_capability(target.device)[0] < 8:
        raise NotCheckedError("this GPU has no TF32")
    size, views = size_of(target), views_of(pairs_of(target))
    exact = BareStep(target.device, "float64", **size)
    exact.gradient(views.double().to(target.device))
    found = {}
    for precision in ("float32", "tf32"):
        step_of = BareStep(target.device, precision, **size)
        step_of.gradient(views.to(target.device))
        ours, theirs = step_of.projected.detach().double(), exact.projected.detach()
        found[precision] = float((ours - theirs).norm() / theirs.norm())
    at_most("float32's error over TF32's", found["float32"] / found["tf32"], 0.2)
    return found


CHECKS = (
    Check("NT-Xent", "loss and gradient in float32 are float64's", loss),
    Check("NT-Xent under autocast", "similarities are not rounded to bfloat16", partial(loss, autocast=True)),
    Check("NT-Xent of bfloat16 projections", "a float32 loss of what autocast hands over", loss_of_bfloat16),
    Check("NT-Xent in blocks", "large batches have the same loss and gradient", loss_in_blocks),
    Check("NT-Xent of 16,384 pairs", "memory grows with the pairs, not with their square", loss_of_16k),
    Check(
        "a step, statistics per view",
        "one pass of 2N rows with batch norm in groups is two passes of N on the CPU",
        partial(step, batch_statistics="view"),
    ),
    Check(
        "a step, statistics over both views",
        "loss, gradients and running statistics are the CPU's",
        partial(step, batch_statistics="both"),
    ),
    Check("several steps", "the loss falls as on the CPU", several_steps),
    Check("evaluation", "frozen features are the CPU's", evaluation),
    Check("TF32 only where asked for", "float32 is far closer to float64 than tf32 is", stays_in_float32),
)
