"""Values of a step read some steps later, so that nobody waits for the device that computes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from clmr.collectives import sum_over_ranks, world_size
from train.moments import Moment

READ_AFTER = 5  # steps; a device that is further behind than this is what the host waits for anyway

Note = TypeVar("Note")


class _Fetch(NamedTuple, Generic[Note]):
    """Scalars on their way to the host."""

    step: int
    names: tuple[str, ...]
    host: Tensor
    """float64 ``[len(names)]``; valid once ``arrival`` is over."""
    arrival: Moment
    note: Note


class Reading(NamedTuple, Generic[Note]):
    """What arrived of one step."""

    step: int
    values: dict[str, float]
    """Means over the ranks."""
    arrival: Moment
    """When the device had them."""
    note: Note
    """What came along from the host."""


class LateValues(Generic[Note]):
    """Averages scalars over the ranks where they are and fetches them without waiting.

    They are due a fixed number of steps later and not when the device happens to be done: so every rank reads the
    same ones at the same step, and what they give rise to (an error, an end) happens on all ranks alike.

    Args:
        device: where the scalars are.
        read_after: steps between asking and reading.
    """

    def __init__(self, device: torch.device, read_after: int = READ_AFTER) -> None:
        self._device, self._read_after = device, read_after
        self._under_way: deque[_Fetch[Note]] = deque()

    def ask(self, step: int, scalars: Mapping[str, Tensor], note: Note) -> None:
        """Begin to fetch 0-dim tensors of a step, of the same names on every rank; every rank must call it."""
        mean = sum_over_ranks(torch.stack([value.double() for value in scalars.values()])) / world_size()
        host = mean
        if self._device.type == "cuda":
            # Only a copy into pinned memory leaves the host free to go on.
            host = torch.empty(mean.shape, dtype=mean.dtype, pin_memory=True)
            host.copy_(mean, non_blocking=True)
        self._under_way.append(_Fetch(step, tuple(scalars), host, Moment(self._device), note))

    def due(self, step: int) -> Iterator[Reading[Note]]:
        """What is to be read now that ``step`` is done, oldest first."""
        while self._under_way and self._under_way[0].step + self._read_after <= step:
            yield self._read()

    def rest(self) -> Iterator[Reading[Note]]:
        """Everything that is under way, waited for."""
        while self._under_way:
            yield self._read()

    def _read(self) -> Reading[Note]:
        fetch = self._under_way.popleft()
        fetch.arrival.wait()
        return Reading(fetch.step, dict(zip(fetch.names, fetch.host.tolist(), strict=True)), fetch.arrival, fetch.note)
