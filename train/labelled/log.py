"""The log of a supervised run: that of pretraining, with windows for pairs and lines of validation."""

from __future__ import annotations

from pathlib import Path

from train.runs.log import RunLog


class SupervisedLog(RunLog):
    """Lines of training (loss, windows per second) and of validation; see :class:`RunLog`."""

    def __init__(self, run: Path, *, start: int, total: int, active: bool) -> None:
        super().__init__(run, start=start, total=total, active=active, title="supervised", unit="windows")
