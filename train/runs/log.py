"""The log of a run: one JSON line per logged step, the same numbers in TensorBoard, and the progress bar."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

from sharding.publish import publish

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

GROUPS = {
    "task": ("loss", "contrastive_accuracy"),
    "geometry": ("alignment", "uniformity"),
    "optimizer": ("learning_rate", "gradient_norm"),
    "speed": ("pairs_per_second", "windows_per_second", "wait_share", "memory_gib"),
    "progress": ("epoch", "best_epoch"),
    "validation": ("validation_roc_auc", "validation_pr_auc"),
}
TAGS = {name: f"{group}/{name.removeprefix(f'{group}_')}" for group, names in GROUPS.items() for name in names}
"""Where a number of the log stands in TensorBoard; a name that is not here stands there as it is."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The entries of a file of :class:`StepLines`, in order; a half-written last line is left out."""
    entries = []
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


def read_log(run: Path) -> list[dict[str, Any]]:
    """The logged steps of a run, in order; a half-written last line is left out."""
    return read_lines(run / "log.jsonl")


def read_probes(run: Path) -> list[dict[str, Any]]:
    """The linear probes taken while a run trained (train/probing/online.py), in order of steps."""
    return read_lines(run / "probe.jsonl")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Name what is written in an error of the system: a full disk does not say whose write it was."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def _one_error() -> Iterator[None]:
    """TensorBoard's thread hands its errors to whoever writes next, who reports them: it need not print them too."""
    before = threading.excepthook

    def print_others(error: threading.ExceptHookArgs) -> None:
        if not type(error.thread).__module__.startswith("tensorboard."):
            before(error)

    threading.excepthook = print_others
    try:
        yield
    finally:
        threading.excepthook = before


class StepLines:
    """A file of JSON lines that each belong to a step; what a run that goes on had written later is cut away."""

    def __init__(self, path: Path, *, start: int) -> None:
        kept = [entry for entry in read_lines(path) if entry["step"] <= start]
        with publish(path) as whole:
            whole.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        self._path, self._file = path, path.open("ab", buffering=0)

    def write(self, *entries: Mapping[str, Any]) -> None:
        """A line for each, all at once; they outlive this process from here on."""
        rest = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        with _writing(self._path):
            while rest:
                rest = rest[self._file.write(rest) :]

    def settle(self) -> None:
        """Have it on the disk: it outlives the machine."""
        with _writing(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """No line follows."""
        self._file.close()


class RunLog:
    """Writes the log from the first rank; on the others every call does nothing.

    A resumed run cuts away what was logged after its checkpoint, so that the curves go on without a seam.

    Args:
        run: folder of the run.
        start: steps done before.
        total: of all steps.
        active: True on the first rank.
        title: what the progress bar is called.
        unit: what is counted per second, in the plural: the log has ``<unit>_per_second``.
    """

    def __init__(
        self, run: Path, *, start: int, total: int, active: bool, title: str = "pretrain", unit: str = "pairs"
    ) -> None:
        self.active, self.start, self._unit = active, start, unit
        if not active:
            return
        from torch.utils.tensorboard import SummaryWriter

        self._folder = run / "tensorboard"
        with ExitStack() as opened:
            self._lines = StepLines(run / "log.jsonl", start=start)
            opened.callback(self._lines.close)
            opened.enter_context(_one_error())
            with _writing(self._folder):
                self._board: SummaryWriter = SummaryWriter(str(self._folder), purge_step=start + 1)
            opened.push(self._close_board)
            self._bar = tqdm(total=total, initial=start, unit="step", desc=title, dynamic_ncols=True, mininterval=0.5)
            opened.callback(self._bar.close)
            self._opened = opened.pop_all()

    def advance(self) -> None:
        """One more step is done."""
        if self.active:
            self._bar.update()

    def write(self, entry: dict[str, Any]) -> None:
        """Log one step; ``entry`` has ``step`` and plain numbers."""
        if not self.active:
            return
        self._lines.write(entry)
        self.scalars({TAGS.get(name, name): value for name, value in entry.items() if name != "step"}, entry["step"])
        if "loss" in entry:
            waiting = f", waiting {entry['wait_share']:.0%}" if "wait_share" in entry else ""
            pace = f"{entry[f'{self._unit}_per_second']:.0f} {self._unit}/s"
            self._bar.set_postfix_str(f"loss {entry['loss']:.4f}, {pace}{waiting}")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers for TensorBoard alone."""
        if self.active:
            with _writing(self._folder):
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)

    def say(self, text: str) -> None:
        """A line on stderr, clear of the progress bar."""
        if self.active:
            tqdm.write(text, file=sys.stderr)

    def settle(self) -> None:
        """Have all that was logged on the disk, TensorBoard's numbers too, which it else holds back for minutes."""
        if self.active:
            self._lines.settle()
            with _writing(self._folder):
                self._board.flush()

    def conclude(self, scalars: Mapping[str, float], step: int) -> None:
        """What is known at the end only, for TensorBoard."""
        self.scalars(scalars, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.active:
            self._opened.__exit__(*error)

    def _close_board(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what TensorBoard's thread still holds."""
        try:
            with _writing(self._folder):
                self._board.close()
        except OSError:
            if kind is None:  # else the disk that is full has ended the run already, or something worse has
                raise
