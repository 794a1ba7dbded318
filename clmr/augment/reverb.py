"""Reverberation (paper section B.8): sox's ``reverb``, mixed down to mono as in the authors' code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Columns, check_audio, check_parameter, check_probability, check_range
from clmr.augment.freeverb import CHANNELS, Circle, Combs, allpass_response, circle, comb_parameters, wet_spectrum
from clmr.augment.kernels.launch import use_kernels
from clmr.errors import ConfigError

LOWEST_RATE = 200  # samples per second; below it the shortest delay of the smallest room rounds to none
MOST_KEPT = 2**18  # points of an FFT whose constants are kept, 4 MB of them in float32, 8 in float64


def reverb(
    audio: Tensor,
    reverberance: Tensor,
    damping: Tensor,
    room_scale: Tensor,
    sample_rate: int,
    *,
    clamp: bool = False,
) -> Tensor:
    """Add reverberation to each row: sox's ``reverb REVERBERANCE DAMPING ROOM_SCALE`` and then ``channels 1``.

    The filters are linear and do not change with time, so they act as one multiplication per frequency (see
    :mod:`clmr.augment.freeverb`); the sound itself passes at full level, and what rings on after the end is cut off.
    In float32 the difference to sox is 90 dB below the result for noise, 83 dB for music and 78 dB for the worst clicks
    and fades found; for a steady tone on a resonance of a small room it is 64 dB on the CPU, most of it near the end of
    the row. In float64 it is 120 dB (that of sox's own float32). Gradients reach the audio, not the parameters.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64, any T.
        reverberance: percent, 0 to 100, shape ``[N]``: how long it rings.
        damping: percent, 0 to 100, shape ``[N]``: how much sooner the highs die away.
        room_scale: percent, 0 to 100, shape ``[N]``: size of the room, the distance between echoes.
        sample_rate: samples per second, 200 or more.
        clamp: clip to +-1 where sox does, whose samples are integers: the input, and each of the two channels before
            their mean is taken. Takes one more inverse FFT.

    The parameters are best on the host; from a device they are fetched, which waits for it.

    Returns:
        Audio with its reverberation, shape ``[N, 1, T]``; without ``clamp`` may exceed +-1.

    Raises:
        ConfigError: a shape, a dtype, a percentage or the sample rate is not one of these.
    """
    check_audio(audio, "reverb")
    if sample_rate < LOWEST_RATE:
        raise ConfigError(f"reverb needs {LOWEST_RATE} samples per second or more, got {sample_rate}")
    rows = len(audio)
    combs = comb_parameters(
        _percent("reverberance", reverberance, rows),
        _percent("damping", damping, rows),
        _percent("room_scale", room_scale, rows),
        sample_rate,
    )
    if audio.numel() == 0:
        return audio.clone()
    x = audio[:, 0].clamp(-1, 1) if clamp else audio[:, 0]
    frames = x.shape[1]
    on = circle(frames, sample_rate, x.dtype)
    constants = _kept_constants if on.n_fft <= MOST_KEPT else _constants
    weight, unweight, allpass = constants(sample_rate, on, x.dtype, x.device)
    spectrum = torch.fft.rfft(_two(x) * weight[:frames], on.n_fft)[: len(x)]

    def through(combs: Combs, allpass: Tensor) -> Tensor:
        wet: Tensor = _Wet.apply(spectrum, combs, allpass, on)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return torch.addcmul(x, torch.fft.irfft(_two(wet), on.n_fft)[: len(x), :frames], unweight[:frames])

    if not clamp:
        return through(combs, allpass)[:, None]
    # The response is that of the mean, so each channel alone is twice its share.
    channels = [
        through(combs.of_channel(c), CHANNELS * allpass[c : c + 1]).clamp_(-1, 1).div_(CHANNELS)
        for c in range(CHANNELS)
    ]
    return (channels[0] + channels[1])[:, None]


def _two(rows: Tensor) -> Tensor:
    """A single row twice: alone, MKL's FFT rounds it otherwise than among others, with a copy it does not."""
    return rows.expand(2, -1) if len(rows) == 1 else rows


class _Wet(torch.autograd.Function):
    """:func:`wet_spectrum` or its kernel, with gradients."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, combs: Combs, allpass: Tensor, on: Circle) -> Tensor:
        ctx.constants = combs, allpass, on
        if use_kernels(spectrum.real):
            from clmr.augment.kernels import freeverb  # imports Triton

            if len(allpass) == 1:  # the kernel is made for two channels: one stands there again and counts 0 times
                combs = replace(combs, delays=combs.delays.repeat(1, CHANNELS))
                allpass = torch.cat([allpass, torch.zeros_like(allpass)])
            return freeverb.wet_spectrum(spectrum, combs, allpass, on)
        return wet_spectrum(spectrum, combs, allpass, on)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        # The gradient of H S is conj(H) g = conj(H conj(g)).
        grad: Tensor = _Wet.apply(grads[0].conj().resolve_conj(), *ctx.constants)  # type: ignore[no-untyped-call]  # as above
        return grad.conj(), None, None, None


def _constants(sample_rate: int, on: Circle, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """``radius^n`` and ``radius^-n`` of shape ``[n_fft]`` and the response of the all-passes, where the audio is."""
    with torch.inference_mode(mode=False):
        weight = on.radius ** torch.arange(on.n_fft, dtype=torch.float64, device="cpu")
        allpass = allpass_response(sample_rate, on).to(dtype.to_complex())
        # Waits for the device, for kept ones once: all streams will read these.
        return weight.to(dtype).to(device), (1 / weight).to(dtype).to(device), allpass.to(device)


# Rows of nearly one length share an FFT and so an entry; eight are 32 MB of float32, or 64 MB of float64.
_kept_constants = lru_cache(maxsize=8)(_constants)


def _percent(name: str, values: Tensor, rows: int) -> Tensor:
    """Float64 on the host, one per row, of a parameter that is what it should be."""
    values = check_parameter(name, values.detach(), rows)
    if not ((values >= 0) & (values <= 100)).all():
        raise ConfigError(f"{name} is a percentage from 0 to 100, got {values.min():g} to {values.max():g}")
    return values


@dataclass(frozen=True)
class Reverb:
    """Puts the sound into a room, each of sox's three percentages uniform in its range."""

    name: ClassVar[str] = "reverb"

    probability: float = 0.4
    """Share of the rows with reverberation, in [0, 1]."""

    reverberance: tuple[float, float] = (0.0, 100.0)
    """Lowest and highest reverberance in percent: how long it rings."""

    damping: tuple[float, float] = (0.0, 100.0)
    """Lowest and highest damping of the highs in percent."""

    room_scale: tuple[float, float] = (0.0, 100.0)
    """Smallest and largest room in percent."""

    whole: bool = False
    """Draw whole percentages, low <= p < high, as the authors' code does."""

    clamp: bool = False
    """Clip to +-1 before, in each channel and so afterwards, as sox does for the authors' code."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        for name, bounds in self._ranges().items():
            check_range(f"reverb.{name}", bounds, lowest=0)
            if bounds[1] > 100:
                raise ConfigError(f"reverb.{name} is a percentage, at most 100, got {bounds}")

    def _ranges(self) -> dict[str, tuple[float, float]]:
        return {"reverberance": self.reverberance, "damping": self.damping, "room_scale": self.room_scale}

    def draw(self, keys: Tensor) -> Columns:
        """``reverberance``, ``damping``, ``room_scale``: percent, float64."""
        columns = {}
        for name, (low, high) in self._ranges().items():
            values = low + (high - low) * draw.uniform(keys, f"reverb.{name}")
            columns[name] = values.floor() if self.whole else values
        return columns

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`reverb`."""
        settings = columns["reverberance"], columns["damping"], columns["room_scale"]
        return reverb(audio, *settings, sample_rate, clamp=self.clamp)
