"""What every augmentation is: ranges to draw from, a draw for each row, and a pure function of audio and the draws."""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from clmr.errors import ConfigError

MOST_DB = 700.0
"""Bound of levels in decibels, either way: float32 holds the amplitudes 10^(+-700 / 20), and audio times them."""

Columns = dict[str, Tensor]
"""Parameter name -> one value per row, shape ``[N]``, on the host: float64, int64 or bool."""


class Augmentation(Protocol):
    """A frozen dataclass of ranges with these members; whatever has them can stand in a chain."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    name: ClassVar[str]
    """Prefix of its columns in a chain's table and of its streams of draws; no dot in it."""

    @property
    def probability(self) -> float:
        """Share of the rows it is applied to, in [0, 1]."""
        ...

    def draw(self, keys: Tensor) -> Columns:
        """The parameters of each row, from its int64 draw key alone; shape ``[N]`` each, on the host."""
        ...

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """The augmented rows.

        Args:
            audio: shape ``[N, 1, T]``, float32 or float64, in +-1, on any device; it may be written over. A chain
                gives 1 to 256 rows at a time.
            columns: those of :meth:`draw`, N rows, on the host. What the device needs of them is sent by
                :func:`clmr.augment.send.send`; nothing is ever fetched from the device.
            sample_rate: samples per second.

        Returns:
            Shape ``[N, 1, T]``. Row i depends on row i of audio and columns alone.
        """
        ...


def check_probability(name: str, probability: float) -> None:
    """Refuse what is not a probability."""
    if not 0 <= probability <= 1:
        raise ConfigError(f"the probability of {name} must be in [0, 1], got {probability}")


def check_range(
    name: str, bounds: tuple[float, float], lowest: float = float("-inf"), highest: float = float("inf")
) -> None:
    """Refuse a (low, high) range that is reversed, not finite, or reaches below ``lowest`` or above ``highest``."""
    low, high = bounds
    if not (float("-inf") < low <= high < float("inf") and lowest <= low and high <= highest):
        limits = [f"low >= {lowest:g}"] * (lowest > float("-inf")) + [f"high <= {highest:g}"] * (highest < float("inf"))
        allowed = ", ".join(["low <= high", *limits])
        raise ConfigError(f"{name} must be a finite (low, high) with {allowed}, got {bounds}")


def check_audio(audio: Tensor, name: str) -> None:
    """Refuse audio of another shape or dtype than :meth:`Augmentation.apply` takes.

    Args:
        audio: to be float32 or float64, shape ``[N, 1, T]``; N and T may be 0.
        name: of the function that takes it, for the message.
    """
    if audio.ndim == 3 and audio.shape[1] == 1 and audio.dtype in {torch.float32, torch.float64}:
        return
    # Integers are not in +-1, which .float() would leave them at.
    advice = "convert with .float()" if audio.is_floating_point() else "convert to float in +-1"
    if audio.dtype in {torch.float32, torch.float64}:
        advice = "give one row per channel, [N * channels, 1, T]"
    raise ConfigError(
        f"{name} takes float32 or float64 audio [N, 1, T], got {audio.dtype} {list(audio.shape)}; {advice}"
    )


def check_parameter(name: str, values: Tensor, rows: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A parameter on the host, in the dtype it is computed in; its values are for the caller to check.

    Args:
        name: of the parameter, for messages.
        values: one per row of audio; from a device they are fetched, which waits for it.
        rows: N of the audio.
        dtype: float64, which any real numbers become; int64, for which they must be integers; or bool, which they
            must be.

    Returns:
        Shape ``[N]``, on the host. A gradient still passes.

    Raises:
        ConfigError: there is not one value per row, or they are of another kind.
    """
    if values.shape != (rows,):
        raise ConfigError(f"{name} must have one value per row of audio, [{rows}], got {list(values.shape)}")
    whole = not values.is_floating_point() and not values.is_complex() and values.dtype != torch.bool
    kinds = {
        torch.float64: (whole or values.is_floating_point(), "real numbers"),
        torch.int64: (whole, "integers"),
        torch.bool: (values.dtype == torch.bool, "bool"),
    }
    fits, kind = kinds[dtype]
    if not fits:
        raise ConfigError(f"{name} must be {kind}, got {values.dtype}")
    return values.cpu().to(dtype)


def check_decibels(name: str, db: Tensor, rows: int) -> Tensor:
    """:func:`check_parameter` of levels, which must be within :data:`MOST_DB`."""
    db = check_parameter(name, db, rows)
    if not bool((db.abs() <= MOST_DB).all()):
        raise ConfigError(f"{name} must be within +-{MOST_DB:g} dB, got {db.min():g} to {db.max():g}")
    return db
