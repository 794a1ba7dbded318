"""What autograd keeps of each view until the backward pass, in bytes, from the table of the encoder's layers.

Per layer, with E bytes to a number, C channels, T frames before pooling and F after it:

    plain     y = conv(x)        C T E        x is the layer before's output, which is kept anyway
              h = norm(y)        C T E        for the pooling's backward pass
              the maxima         C F (E + 8)  relu(max h), the next x, and where each maximum was, in int64
    fused     y                  C T E

The first layer normalises before its output exists: it keeps that output and four numbers for every three samples, and
``fused`` nothing but the view itself, which is counted elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from clmr.encoder import POOLS, QUARTERS, STEM, crop_frames
from clmr.layerwise import PART_ON_GPU

INDEX = 8  # bytes of a maximum's place
EXACT = {"float32": 4, "tf32": 4, "bf16": 4, "float64": 8}
"""Bytes of a number outside encoder and projector, by precision: weights, gradients, views, loss."""
WITHIN = EXACT | {"bf16": 2}
"""Bytes of an activation."""


@dataclass(frozen=True)
class Layer:
    """One of the encoder's convolutions, with its sizes for one view."""

    channels: int
    """Of its output."""
    frames: int
    """Of its output, before pooling."""
    pooled: int
    """Frames after pooling; as many where there is none."""

    @property
    def values(self) -> int:
        """Numbers of the convolution's output."""
        return self.channels * self.frames

    @property
    def pooled_values(self) -> int:
        """Numbers of the layer's output."""
        return self.channels * self.pooled


def layers(sample_rate: int, width: int) -> list[Layer]:
    """The eleven layers for one crop, first to last."""
    frames = crop_frames(sample_rate) // STEM
    found = [Layer(QUARTERS[0] * width // 4, frames, frames)]
    for quarters, kernel, pool in zip(QUARTERS[1:], (*POOLS[sample_rate], 3), (*POOLS[sample_rate], 1), strict=True):
        frames = found[-1].pooled + 2 - kernel + 1  # padded by 1 at both ends
        found.append(Layer(quarters * width // 4, frames, frames // pool))
    return found


def kept_by_layer(sample_rate: int, width: int, precision: str, *, fused: bool = False) -> list[int]:
    """Bytes that each layer keeps of one view, in the order of :func:`layers`."""
    size = WITHIN[precision]
    stem, *middle, last = layers(sample_rate, width)
    if fused:
        return [0, *(layer.values * size for layer in (*middle, last))]
    return [
        (4 * stem.frames + stem.values) * size,
        *(2 * layer.values * size + layer.pooled_values * (size + INDEX) for layer in middle),
        2 * last.values * size,
    ]


def kept(sample_rate: int, width: int, precision: str, *, fused: bool = False) -> int:
    """Bytes of one view until its backward pass, all layers together."""
    return sum(kept_by_layer(sample_rate, width, precision, fused=fused))


def most_at_once(
    sample_rate: int, width: int, precision: str, views: int, *, fused: bool = False, ranks: int = 1
) -> int:
    """Most bytes at any moment of both passes over so many views: what is kept, and what a layer works with just then.

    An estimate: which temporary tensors overlap is up to torch, and libraries take working memory of their own.
    """
    size, exact = WITHIN[precision], EXACT[precision]
    kept_so_far, most, before = 0, 0, 0
    table = zip(layers(sample_rate, width), kept_by_layer(sample_rate, width, precision, fused=fused), strict=True)
    for layer, own in table:
        kept_so_far += own * views
        if fused:  # dL/dx of the whole batch before and after the layer; x, y's gradient and x's for a part of the rows
            part = min(views, max(1, PART_ON_GPU // layer.values))
            at_work = (layer.pooled_values + before) * views + (layer.values + 2 * before) * part
        else:  # the gradient comes in, is spread over the frames, and y's is made from it
            at_work = (layer.pooled_values + layer.values) * views
        at_work *= size
        if ranks > 1 and not fused:  # statistics over ranks: y - mean, and its product with the gradient
            at_work += 2 * layer.values * views * exact
        most, before = max(most, kept_so_far + at_work), layer.pooled_values
    return most


def parameters(sample_rate: int, width: int, projection: int) -> int:
    """Numbers in encoder and projector: weights and biases, batch norm's scale and shift."""
    channels = [quarters * width // 4 for quarters in QUARTERS]
    kernels = (STEM, *POOLS[sample_rate], 3)
    products = (a * b * k for a, b, k in zip([1, *channels], channels, kernels, strict=False))
    return sum(products) + 3 * sum(channels) + width * (width + projection)
