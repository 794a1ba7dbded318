"""The encoder's training pass that keeps the convolutions' outputs alone, and computes all else again when needed.

    x_1 = relu(stem(audio))        y_l = conv_l(x_l)        x_{l+1} = relu(pool(norm_l(y_l)))        l = 1 .. 10

Plain autograd keeps y, the normalised y, the indices of the maxima and x of every layer. Here the graph's nodes lead
from x_l to x_{l+1} and keep y_l and statistics only; the backward pass makes x_l, which the gradient of the weight
needs, from y_{l-1} again. x_1, the largest of all, is never whole: it is made from the audio part by part. At 22.05 kHz
and width 512 a view keeps 4.2 million numbers, 8.4 MB in bfloat16.

What it is for is memory, on a GPU. On a CPU, in plain PyTorch, the steps measured took twice as long as by plain
autograd in float32, and three times in bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.batchnorm import Moments
from clmr.collectives import world_size
from clmr.errors import ConfigError
from clmr.layerwise import Layer, LayerBackward, convolve, normalise, output_of, parts_of, rows_of_a_part
from clmr.pooling import Part, empty_activations, frames_last_but_one, pooled


class Convolution(NamedTuple):
    """A layer's parameters."""

    weight: Tensor
    """Shape ``[C_out, C_in, k]``."""

    bias: Tensor
    """Of the convolution, shape ``[C_out]``: it cancels against the mean, and its gradient is zero."""

    gamma: Tensor
    """Of the norm, shape ``[C_out]``."""

    beta: Tensor
    """Of the norm, shape ``[C_out]``."""

    eps: float
    """Of the norm."""

    pool: int
    """Size and stride of the pooling; 1 for none."""


class _First(torch.autograd.Function):
    """From the audio, through the stem and the first middle layer."""

    @staticmethod
    def forward(
        ctx: Any, audio: Tensor, folded: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor,
        layer: Layer, dtype: torch.dtype,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        ctx.set_materialize_grads(False)
        ctx.layer, ctx.dtype = layer, dtype
        parts = []
        for first in range(0, len(audio), layer.rows):
            samples = _samples(audio[first : first + layer.rows], folded.shape[2])
            x = _stem(Part(samples, first, len(audio) // layer.groups), folded.to(dtype))
            parts.append(convolve(x, weight))
        affine, moments = normalise(parts, gamma, beta, layer)
        x = output_of(parts, affine, layer)
        ctx.save_for_backward(audio, folded, weight, bias, affine, *moments, *parts)
        ctx.mark_non_differentiable(affine, *moments, *parts)
        return x, affine, *moments, *parts

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if gradients[0] is None:  # nobody asked for x, and zeros for the other outputs were not made
            return (None,) * len(ctx.needs_input_grad)
        audio, folded, weight, bias, affine, n, mean, variance, *parts = ctx.saved_tensors
        backward = LayerBackward(parts, affine, Moments(n, mean, variance), gradients[0], ctx.layer)
        stem = folded.to(ctx.dtype)
        d_weight, d_folded = torch.zeros_like(weight, dtype=affine.dtype), torch.zeros_like(folded)
        d_audio = torch.empty_like(audio) if ctx.needs_input_grad[0] else None
        for part in backward.parts:
            everywhere = slice(part.first, part.first + len(part.y))
            samples = _samples(audio[everywhere], folded.shape[2])
            x = _stem(Part(samples, part.first, part.rows_per_group), stem)
            dx, dw = backward.through(part, x, weight, need_x=True)
            d_weight += dw
            dx = frames_last_but_one(torch.ops.aten.threshold_backward(dx, x, 0))
            for group, rows in part.groups():
                # Crop by crop, as a GPU does little of one long sum at a time.
                d_folded[group] += (dx[rows].mT @ samples[rows].to(dx.dtype)).sum(dim=0, dtype=folded.dtype)
                if d_audio is not None:
                    d_audio[everywhere][rows] = (dx[rows] @ stem[group, :, :-1]).view_as(audio[everywhere][rows])
        return d_audio, d_folded, d_weight.to(weight.dtype), torch.zeros_like(bias), *backward.of_norm(bias), None, None


def _samples(audio: Tensor, numbers: int) -> Tensor:
    """``[n, 1, T]`` -> ``[n, T / 3, 4]``: what the stem's filters see, and a 1, which carries the bias."""
    return F.pad(audio.reshape(len(audio), -1, numbers - 1), (0, 1), value=1)


def _stem(samples: Part, folded: Tensor) -> Tensor:
    """x_1 of some rows, shape ``[n, C, 1, T / 3]``; ``folded`` has the filters ``[G, C, 4]``."""
    rows, frames, _ = samples.y.shape
    x = empty_activations(folded, rows, folded.shape[1], frames)
    for group, own in samples.groups():
        out = frames_last_but_one(x[own]).view(-1, folded.shape[1])
        torch.mm(samples.y[own].flatten(0, 1).to(folded.dtype), folded[group].mT, out=out)
    return x.relu_()


class _Next(torch.autograd.Function):
    """From x_l to x_{l+1}; makes x_l again from the layer before."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, layer: Layer,
        affine_before: Tensor, *parts_before: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        ctx.set_materialize_grads(False)
        parts = [convolve(rows, weight) for rows in x.split(layer.rows)]
        affine, moments = normalise(parts, gamma, beta, layer)
        out = output_of(parts, affine, layer)
        ctx.layer, ctx.before = layer, len(parts_before)
        ctx.save_for_backward(weight, bias, affine_before, affine, *moments, *parts_before, *parts)
        ctx.mark_non_differentiable(affine, *moments, *parts)
        return out, affine, *moments, *parts

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if gradients[0] is None:  # nobody asked for x, and zeros for the other outputs were not made
            return (None,) * len(ctx.needs_input_grad)
        weight, bias, affine_before, affine, n, mean, variance, *parts = ctx.saved_tensors
        before, parts = parts[: ctx.before], parts[ctx.before :]
        layer: Layer = ctx.layer
        backward = LayerBackward(parts, affine, Moments(n, mean, variance), gradients[0], layer)
        d_weight, d_x = torch.zeros_like(weight, dtype=affine.dtype), gradients[0].new_empty(0)
        parts_before = list(parts_of(before, layer))
        each = -(-layer.rows // layer.rows_before)
        for number, part in enumerate(backward.parts):
            sources = parts_before[number * each : (number + 1) * each]
            channels, frames = sources[0].y.shape[1], sources[0].y.shape[3] // layer.pool_before
            x = empty_activations(part.y, len(part.y), channels, frames)
            for source in sources:
                start = source.first - part.first
                pooled(source, affine_before, layer.pool_before, x[start : start + len(source.y)])
            dx, dw = backward.through(part, x, weight, need_x=True)
            d_weight += dw
            if len(backward.parts) == 1:
                d_x = dx
                break
            if not number:  # whole at once: parts joined at the end would need it twice
                d_x = empty_activations(dx, len(backward.g), channels, frames)
            d_x[part.first : part.first + len(dx)] = dx
        return (
            d_x,
            d_weight.to(weight.dtype),
            torch.zeros_like(bias),
            *backward.of_norm(bias),
            None,
            None,
            *[None] * len(before),
        )


def features(
    audio: Tensor, folded: Tensor, convolutions: Sequence[Convolution], groups: int, dtype: torch.dtype
) -> tuple[Tensor, list[Moments]]:
    """The features of a batch, and the moments of every convolution's output after the stem.

    Args:
        audio: shape ``[N, 1, T]``.
        folded: filters of the stem with its normalisation folded in, and their bias, float64, shape ``[G, C, 4]``.
        convolutions: those after the stem.
        groups: G, parts of N that are normalised apart.
        dtype: of the activations.

    Returns:
        ``[N, width]``, and of every layer the moments over all ranks, of the output less its bias.
    """
    rows, on_gpu = len(audio), audio.is_cuda
    if world_size() == 1 and rows == groups:
        raise ConfigError(
            f"batch statistics need 2 crops or more, got 1 in each of {groups} groups; use a larger batch size"
        )
    channels, frames, pool = folded.shape[1], audio.shape[2] // (folded.shape[2] - 1), 1
    each = 1
    x, affine = audio, audio
    parts: list[Tensor] = []
    found = []
    for number, own in enumerate(convolutions):
        before = each
        # The first layer's input is made again, too, and may be larger than its output.
        channels_out, frames_out = len(own.weight), frames + 3 - own.weight.shape[2]
        each = rows_of_a_part(max(channels * frames, channels_out * frames_out), rows, each, on_gpu)
        layer = Layer(own.pool, pool, groups, own.eps, before, each)
        norm = own.weight, own.bias, own.gamma, own.beta, layer
        node, given = (_Next, (x, *norm, affine, *parts)) if number else (_First, (audio, folded, *norm, dtype))
        out = node.apply(*given)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        x, affine, n, mean, variance, *parts = out
        found.append(Moments(n, mean, variance))
        channels, frames, pool = channels_out, frames_out // own.pool, own.pool
    return x.flatten(1), found
