"""The log of a run: one JSON line per logged step, the same numbers in TensorBoard, and the progress bar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

from sharding.publish import publish

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def read_log(run: Path) -> list[dict[str, Any]]:
    """The logged steps of a run, in order; a half-written last line is left out."""
    entries = []
    path = run / "log.jsonl"
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not isinstance(entry, dict) or "step" not in entry:
                break
            entries.append(entry)
    return entries


class RunLog:
    """Writes the log from the first rank; on the others every call does nothing.

    A resumed run cuts away what was logged after its checkpoint, so that the curves go on without a seam.
    """

    def __init__(self, run: Path, *, start: int, total: int, active: bool) -> None:
        self.active = active
        if not active:
            return
        from torch.utils.tensorboard import SummaryWriter

        kept = [entry for entry in read_log(run) if entry["step"] <= start]
        with publish(run / "log.jsonl") as path:
            path.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        self._file = (run / "log.jsonl").open("a", encoding="utf-8", buffering=1)
        self._board: SummaryWriter = SummaryWriter(str(run / "tensorboard"), purge_step=start + 1)
        self._bar = tqdm(total=total, initial=start, unit="step", desc="pretrain", dynamic_ncols=True, mininterval=0.5)

    def advance(self) -> None:
        """One more step is done."""
        if self.active:
            self._bar.update()

    def write(self, entry: dict[str, Any]) -> None:
        """Log one step; ``entry`` has ``step`` and plain numbers."""
        if not self.active:
            return
        self._file.write(json.dumps(entry) + "\n")
        for name, value in entry.items():
            if name != "step":
                self._board.add_scalar(name, value, entry["step"])
        waiting = f", waiting {entry['wait_share']:.0%}" if "wait_share" in entry else ""
        self._bar.set_postfix_str(f"loss {entry['loss']:.4f}, {entry['pairs_per_second']:.0f} pairs/s{waiting}")

    def conclude(self, scalars: Mapping[str, float], step: int) -> None:
        """What is known at the end only, for TensorBoard."""
        if self.active:
            for name, value in scalars.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.active:
            self._bar.close()
            self._board.close()
            self._file.close()
