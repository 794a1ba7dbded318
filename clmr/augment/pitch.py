"""Pitch shifting as sox's ``pitch`` does it (paper section B.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Columns, check_audio, check_parameter, check_probability, check_range
from clmr.augment.ratio import nearest_ratio
from clmr.augment.resample import resample
from clmr.augment.send import send
from clmr.augment.tempo import search_offsets, stretch, tempo_plan
from clmr.errors import ConfigError

MOST_CENTS = 1200.0  # an octave, which bounds how long a stretched row and how wide a sinc can be


def pitch_shift(audio: Tensor, cents: Tensor, sample_rate: int) -> Tensor:
    """Raise or lower the pitch of each row and keep its duration.

    sox's ``pitch``: WSOLA makes the row ``2^(cents / 1200)`` times as long, resampling makes it as long as before.
    There are no gradients: which pieces WSOLA picks is not differentiable.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64.
        cents: hundredths of a semitone up, within +-1200, float64 on the host, shape ``[N]``; on a device they are
            fetched, which waits for it. Up to 0.02 cent a row is returned as it is.
        sample_rate: samples per second, >= 1000.

    Returns:
        Shape ``[N, 1, T]``.

    Raises:
        ConfigError: a shape or a dtype is not one of these, cents are not finite or beyond an octave, the sample rate
            is below 1000, or a gradient of the audio would be needed.
    """
    check_audio(audio, "pitch_shift")
    cents = check_parameter("cents", cents.detach(), len(audio))
    if audio.requires_grad and torch.is_grad_enabled():
        raise ConfigError("pitch_shift gives no gradient: call it under torch.no_grad() or on audio.detach()")
    if not bool((cents.abs() <= MOST_CENTS).all()):
        raise ConfigError(f"pitch shifts must be within +-{MOST_CENTS:g} cents, got {cents.abs().max():g}")
    # sox passes the factor from one effect to the other with six digits.
    factor = torch.tensor([float(f"{2 ** (-c / 1200):g}") for c in cents.tolist()], dtype=torch.float64, device="cpu")
    p, q = nearest_ratio(1 / factor)
    shifted = (p != q).nonzero().flatten()
    if len(shifted) == 0 or audio.shape[2] == 0:
        return audio.clone()
    every = len(shifted) == len(cents)  # as in a chain, which leaves out the rest itself: no copies
    rows = None if every else send(shifted, audio.device)
    some = audio[:, 0] if rows is None else audio[:, 0].index_select(0, rows)
    plan = tempo_plan(factor[shifted], sample_rate, audio.shape[2])
    stretched = stretch(some, plan, search_offsets(some, plan))
    out = resample(stretched, p[shifted], q[shifted], audio.shape[2])[:, None]
    return out if rows is None else audio.index_copy(0, rows, out)


@dataclass(frozen=True)
class Pitch:
    """Shifts the pitch, not the tempo."""

    name: ClassVar[str] = "pitch"

    probability: float = 0.4
    """Share of the rows shifted, in [0, 1]."""

    semitones: tuple[float, float] = (-5.0, 5.0)
    """Lowest and highest shift in semitones, within an octave."""

    whole_cents: bool = False
    """Draw whole cents, as the authors' code does."""

    clamp: bool = False
    """Clip to +-1 before and afterwards, as sox does, which computes with integers."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        check_range("pitch.semitones", self.semitones)
        if max(map(abs, self.semitones)) > MOST_CENTS / 100:
            raise ConfigError(f"pitch.semitones must be within +-{MOST_CENTS / 100:g}, got {self.semitones}")

    def draw(self, keys: Tensor) -> Columns:
        """``cents``: float64."""
        low, high = (100 * bound for bound in self.semitones)
        unit = draw.uniform(keys, "pitch.cents")
        if self.whole_cents:
            return {"cents": low + (unit * (high - low + 1)).floor()}
        return {"cents": low + (high - low) * unit}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`pitch_shift`."""
        if not self.clamp:
            return pitch_shift(audio, columns["cents"], sample_rate)
        return pitch_shift(audio.clamp(-1, 1), columns["cents"], sample_rate).clamp_(-1, 1)
