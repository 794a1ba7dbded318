"""SIGTERM, SIGUSR1 and Ctrl-C end a run at the next step boundary, on every rank at the same one."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

import torch

from clmr.collectives import sum_over_ranks

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""SIGUSR1 is what Slurm is commonly told to send ahead of the time limit (``--signal=USR1@120``)."""


class StopRequest:
    """Remembers that this process was asked to stop; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self) -> bool:
        """True when any rank was asked to stop; all ranks get the same answer at the same step."""
        return bool(sum_over_ranks(torch.tensor(int(self.signal is not None))).item())
