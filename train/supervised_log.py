"""The log of a supervised run: that of pretraining, with windows for pairs and lines of validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from train.runlog import RunLog


class SupervisedLog(RunLog):
    """Lines of training (loss, windows per second) and of validation; see :class:`RunLog`."""

    def __init__(self, run: Path, *, start: int, total: int, active: bool) -> None:
        super().__init__(run, start=start, total=total, active=active)
        if active:
            self._bar.set_description("supervised")

    def write(self, entry: dict[str, Any]) -> None:
        """Log one step or one validation; ``entry`` has ``step`` and plain numbers."""
        if not self.active:
            return
        self._file.write(json.dumps(entry) + "\n")
        for name, value in entry.items():
            if name != "step":
                self._board.add_scalar(name, value, entry["step"])
        if "loss" in entry:
            self._bar.set_postfix_str(f"loss {entry['loss']:.4f}, {entry['windows_per_second']:.0f} windows/s")
