"""Copies of a run's checkpoints in a bucket or another folder, sent while the training goes on.

The copy has the layout of the run's folder: ``checkpoints/step-00000500.pt`` and, so that a run whose machines share no
disk goes on anywhere with the same curves, what it has logged. Files appear there whole or not at all, those of
:data:`COMPANIONS` before the checkpoint that they belong to.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from clmr.errors import ClmrError, ConfigError, ResumeError
from sharding.publish import publish
from sharding.storage import Place
from train.ranks.first_failure import described
from train.runs.checkpoint import KEEP, NAME, checkpoint_path, load, newest

COMPANIONS = ("config.json", "log.jsonl", "probe.jsonl", "augment.jsonl")
"""What of a run's folder goes with a checkpoint, where it is there."""
TRIAL = ".trial"


class CheckpointStore:
    """Where copies of a run's checkpoints go, one upload at a time; if they do not get there, the training goes on."""

    def __init__(self, place: Place, run: Path) -> None:
        """Nothing is read or written yet.

        Args:
            place: folder of the copies.
            run: folder of the run.

        Raises:
            ConfigError: they are the same folder.
        """
        if place.root is not None and place.root.resolve() == run.resolve():
            raise ConfigError(f"--checkpoints {place.name}: is the run's own folder; give another one, or none")
        self._place, self._run = place, run
        self._damaged: set[str] = set()
        self._waiting: int | None = None
        self._wanted: int | None = None
        self._there: int | None = None
        self._trouble = ""
        self._over = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def fetch(self, check: Callable[[Path], None]) -> None:
        """Bring the newest checkpoint into the run's folder, unless that has it or a newer one.

        Args:
            check: refuses a folder whose config.json belongs to a run with other settings.

        Raises:
            ResumeError: the copies are of another run; nothing of them is taken.
            StorageError: the store cannot be read, so what the newest checkpoint is cannot be known; or not written to.
            OSError: likewise, of a folder.
        """
        names = self._names()
        local, _ = newest(self._run)
        here = -1 if local is None else int(local["step"])
        if names:
            self._check(check)
        # Better known now than after a day whose checkpoints all stayed here.
        self._place.write(TRIAL, b"can this be written?\n")
        self._place.remove(TRIAL)
        for name in reversed(names):
            if _step(name) <= here:
                break
            if self._take(name):
                return
        if here >= 0 and f"step-{here:08d}.pt" in names:
            self._there = self._wanted = here
        elif here >= 0:
            self.send(here)

    def send(self, step: int) -> None:
        """Have the checkpoint of ``step`` copied; one that still waits for an earlier upload to end is left out."""
        with self._changed:
            self._waiting = self._wanted = step
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="checkpoint store", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def used(self) -> bool:
        """Whether there was anything to copy, here or there."""
        return self._wanted is not None

    def close(self, seconds: float | None = None) -> str:
        """Wait for the last upload, so many seconds at most; what became of it, in one line."""
        end = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            self._over = True
            self._changed.notify_all()
        while self._thread is not None and self._thread.is_alive() and (end is None or time.monotonic() < end):
            self._thread.join(0.2)  # in pieces, so that Ctrl-C is heard
        name = self._place.name
        if not self.used:
            return f"{name}: nothing was to be copied"
        if self._there == self._wanted:
            return f"{name}: holds the checkpoint of step {self._there}"
        held = "none of this start" if self._there is None else f"step {self._there}"
        trouble = f" ({self._trouble})" if self._trouble else ""
        return f"warning: {name}: the checkpoint of step {self._wanted} is not there{trouble}; the newest is {held}"

    def _names(self) -> list[str]:
        """The checkpoints there, oldest first."""
        return sorted(name for name in self._place.files("checkpoints") if NAME.fullmatch(name))

    def _check(self, check: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                (Path(folder) / "config.json").write_bytes(self._place.read("config.json"))
                check(Path(folder))
            except FileNotFoundError:
                raise ResumeError(
                    f"{self._place.name} holds checkpoints and no config.json: give another --checkpoints"
                ) from None
            except ResumeError as error:
                raise ResumeError(str(error).replace(folder, self._place.name)) from None

    def _take(self, name: str) -> bool:
        """Put a checkpoint and what goes with it into the run's folder; False, with a warning, for a damaged one."""
        found = {name: self._place.read(f"checkpoints/{name}")}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(found[name])
            try:
                load(path)
            except ResumeError as error:
                print(f"warning: {str(error).replace(folder, self._place.name)}", file=sys.stderr)
                self._damaged.add(name)
                return False
        first = checkpoint_path(self._run, 0)
        if not first.exists() and self._place.size(f"checkpoints/{first.name}") is not None:
            _put(first, self._place.read(f"checkpoints/{first.name}"))
        for companion in COMPANIONS:
            if self._place.size(companion) is not None:
                _put(self._run / companion, self._place.read(companion))
        _put(first.with_name(name), found[name])  # last: with it the run goes on from there
        self._there = self._wanted = _step(name)
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._waiting is not None)
                step, self._waiting = self._waiting, None
            if step is None:
                return
            try:
                self._copy(step)
                self._there, self._trouble = step, ""
            except Exception as error:  # a thread that ended would copy nothing more
                self._trouble = described(error)
                print(
                    f"warning: {self._place.name}: the checkpoint of step {step} was not copied ({self._trouble}); "
                    "the training goes on, the next one is tried again",
                    file=sys.stderr,
                    flush=True,
                )

    def _copy(self, step: int) -> None:
        """Copy a checkpoint and what goes with it, then drop the older ones as the run's folder does."""
        first, own = checkpoint_path(self._run, 0), checkpoint_path(self._run, step)
        content = own.read_bytes()  # before it is dropped here
        self._damaged.discard(own.name)
        for companion in COMPANIONS:
            if (self._run / companion).exists():
                self._place.write(companion, (self._run / companion).read_bytes())
        names = self._names()
        if first.exists() and first != own and first.name not in names:
            self._write(first.name, first.read_bytes())
        self._write(own.name, content)
        kept = [name for name in sorted({*names, own.name}) if name not in self._damaged and name != first.name]
        for old in {*kept[:-KEEP], *self._damaged} & {*names}:
            if old != own.name:
                self._place.remove(f"checkpoints/{old}")
        self._damaged.clear()

    def _write(self, name: str, content: bytes) -> None:
        """Write a checkpoint, and make sure that it is there as it is here."""
        self._place.write(f"checkpoints/{name}", content)
        size = self._place.size(f"checkpoints/{name}")
        if size != len(content):
            raise ClmrError(f"{name} has {size} bytes there instead of {len(content)}")


def _step(name: str) -> int:
    return int(name.removeprefix("step-").removesuffix(".pt"))


def _put(path: Path, content: bytes) -> None:
    with publish(path) as temporary:
        temporary.write_bytes(content)
