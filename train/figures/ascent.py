"""What filters listen for: gradient ascent on a waveform of 729 samples (paper section 3.9, Figures 7 and C.3).

The paper says of its method no more than that. Here: from white noise of 0.1 RMS, so many steps along the gradient of
the filter's mean response, the gradient scaled to a fixed share of that RMS and the waveform scaled back to it, so that
no filter is excited by loudness. The response is that of the layer's convolution and batch normalisation, rectified;
where the rectifier is shut it passes 1 %, so that a filter that is silent on the noise has a direction to go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clmr import SampleCNN
from clmr.cpc import CpcFeatures
from clmr.errors import ConfigError

FRAMES = 729
RMS = 0.1
SHUT = 0.01  # what the rectifier passes of negative responses
Spectra = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AscentSettings:
    """How the waveforms are found."""

    steps: int = 100
    """Of the ascent."""
    step_size: float = 0.1
    """RMS of each step, as a share of the waveform's."""
    seed: int = 0
    """Of the noise that it begins with; every layer and filter begins with the same."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.step_size <= 1:
            raise ConfigError(
                f"--steps {self.steps} --step-size {self.step_size:g}: at least 1 step, and a size above 0, at most 1"
            )


@dataclass(frozen=True)
class Layer:
    """A convolution that can be asked for its response."""

    number: int
    """From 1, as the paper counts them."""
    filters: int
    """Its output channels."""
    response: Callable[[Tensor], Tensor]
    """``[N, 1, 729]`` -> ``[N, filters, frames]``, before rectifying and pooling."""


def layers_of(encoder: nn.Module) -> list[Layer]:
    """The convolutions of an encoder in evaluation mode that answer to 729 samples.

    A layer further up needs more: of SampleCNN at 22.05 kHz the sixth is the last, which pools 3 frames into 1. It has
    nominally 969 samples in sight, and sees the zeros of the padding around the 729.

    Args:
        encoder: SampleCNN, CPC, or blocks in a row that each have a ``conv`` and a ``norm``, which may be None.
    """
    blocks = list(_blocks(encoder))
    layers: list[Layer] = []
    x = torch.zeros(1, 1, FRAMES, dtype=next(encoder.parameters()).dtype, device=next(encoder.parameters()).device)
    with torch.no_grad():
        for index, block in enumerate(blocks):
            x = block(x)
            if not x.shape[-1]:
                break
            layers.append(Layer(index + 1, block.conv.out_channels, _response(blocks[: index + 1])))
            pool = getattr(blocks[index + 1], "pool", 1) if index + 1 < len(blocks) else 1
            if x.shape[-1] < pool:
                break
    return layers


def _blocks(encoder: nn.Module) -> Iterator[Any]:
    if isinstance(encoder, SampleCNN):
        yield from encoder.sequential
    elif isinstance(encoder, CpcFeatures):
        yield from encoder.cpc.encoder
    else:
        yield from encoder.children()


def _response(blocks: list[Any]) -> Callable[[Tensor], Tensor]:
    *before, last = blocks

    def respond(x: Tensor) -> Tensor:
        for block in before:
            x = block(x)
        y: Tensor = last.conv(x.squeeze(2) if x.ndim == 4 else x)  # SampleCNN's activations are [N, C, 1, T]
        if last.norm is None:
            return y
        scale, shift = (each.to(y.dtype)[:, None] for each in last.norm.fold())
        z: Tensor = y * scale + shift
        return z

    return respond


class Found(NamedTuple):
    """The waveforms of a layer, float32 on the CPU."""

    waveforms: Tensor
    """``[filters, 729]``"""
    before: Tensor
    """Mean rectified response to the noise, ``[filters]``."""
    after: Tensor
    """To the waveform, ``[filters]``."""


def most_exciting(layer: Layer, settings: AscentSettings, device: torch.device, most: int = 256) -> Found:
    """A waveform for each filter.

    Args:
        layer: whose filters are asked.
        settings: of the ascent.
        device: where the encoder is.
        most: filters at once.
    """
    noise = torch.randn(FRAMES, generator=torch.Generator().manual_seed(settings.seed))
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for chosen in torch.arange(layer.filters).split(most):
        rows, own = torch.arange(len(chosen), device=device), chosen.to(device)
        x = _scaled(noise.repeat(len(chosen), 1, 1).to(device), RMS)
        before = _heard(layer, x, rows, own).detach()
        for _ in range(settings.steps):
            x.requires_grad_()
            # Rows do not meet before the sum, so each row's gradient is that of its own filter.
            (gradient,) = torch.autograd.grad(_heard(layer, x, rows, own).sum(), x)
            x = _scaled(x.detach() + _scaled(gradient, settings.step_size * RMS), RMS)
        found.append((x[:, 0], before, _heard(layer, x, rows, own).detach()))
    return Found(*(torch.cat(each).float().cpu() for each in zip(*found, strict=True)))


def _heard(layer: Layer, x: Tensor, rows: Tensor, filters: Tensor) -> Tensor:
    """The mean rectified response of a filter to each row of ``x``, ``[N]``."""
    heard: Tensor = F.leaky_relu(layer.response(x)[rows, filters], SHUT)
    return heard.mean(dim=1)


def _scaled(x: Tensor, rms: float) -> Tensor:
    """Each row of ``[N, 1, T]`` at that RMS; a row of zeros stays."""
    return x * (rms / x.square().mean(dim=2, keepdim=True).sqrt().clamp(min=1e-20))


def spectra(waveforms: Tensor) -> Spectra:
    """Magnitude spectrum of each waveform over its own peak, ``[filters, 365]``, without a window."""
    magnitude = np.abs(np.fft.rfft(waveforms.double().numpy(), axis=1))
    return np.asarray(magnitude / np.maximum(magnitude.max(axis=1, keepdims=True), 1e-30), dtype=np.float64)
