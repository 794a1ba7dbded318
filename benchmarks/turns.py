"""Contenders taking turns: each in a process of its own, one at a time, round after round."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from benchmarks.report import Spread

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300.0  # seconds that a contender may take to start or to answer


class ContenderError(Exception):
    """A contender that cannot be measured; the message says why."""


@dataclass(frozen=True)
class Contender:
    """Something to measure."""

    name: str
    target: str
    """``module:function`` that makes it, see :mod:`benchmarks.contenders.serve`."""
    settings: Mapping[str, Any]
    """Arguments of the function."""
    python: str = sys.executable
    """Interpreter to run it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables to set beside this process's."""


@dataclass(frozen=True)
class Measured:
    """What came of a set of contenders."""

    rates: dict[str, Spread]
    """Amount per second of each that could be measured."""
    missing: dict[str, str]
    """Why the others could not."""
    notes: dict[str, str]
    """How each was set up, in its own words."""
    versions: dict[str, str]
    """Of the packages in use; those of another interpreter with its contender's name where they differ."""


class Process:
    """A contender's process, in a process group of its own, which has its workers too."""

    def __init__(self, contender: Contender, log: Path, *, freeze: bool) -> None:
        self.name = contender.name
        self._log = log
        self._freeze = freeze
        self.ready: dict[str, Any] | None = None
        self.failure: str | None = None
        command = [contender.python, "-m", "benchmarks.contenders.serve"]
        with log.open("wb") as errors:
            self._child = subprocess.Popen(
                [*command, contender.target, json.dumps(contender.settings)],
                cwd=ROOT,
                env={**os.environ, **contender.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                process_group=0,
            )

    def start(self) -> None:
        """Wait until it is ready, or has failed."""
        if self.ready is not None or self.failure is not None:
            return
        try:
            self.ready = self.answer()
        except ContenderError as error:
            self.failure = str(error)
        else:
            self.rest()

    def answer(self) -> dict[str, Any]:
        """The next line it says.

        Raises:
            ContenderError: it ended, or said nothing for :data:`PATIENCE`.
        """
        assert self._child.stdout
        with DefaultSelector() as selector:
            selector.register(self._child.stdout, EVENT_READ)
            if not selector.select(PATIENCE):
                raise ContenderError(f"no answer within {PATIENCE:.0f} s")
        line = self._child.stdout.readline()
        if not line:
            code = self._child.wait()
            said = self._log.read_text(errors="replace").strip()
            errors = re.findall(r"^[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*", said, re.MULTILINE)
            last = errors[-1:] or said.splitlines()[-1:]
            raise ContenderError(last[0] if last else f"it ended with code {code}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def turn(self, before: float, seconds: float) -> float:
        """Amount per second in a turn of about so many seconds, after some that do not count."""
        assert self._child.stdin
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError):  # the answer says why
            self._child.stdin.write(f"{before} {seconds}\n".encode())
            self._child.stdin.flush()
        measured = float(self.answer()["rate"])
        self.rest()
        return measured

    def rest(self) -> None:
        """Let nothing of it run while others are measured."""
        self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """End it, gently at first: some leave shared memory behind otherwise."""
        self._signal(signal.SIGCONT)
        assert self._child.stdin
        assert self._child.stdout
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        with suppress(ProcessLookupError):
            for _ in range(100):
                self._child.poll()
                os.killpg(self._child.pid, 0)  # until none of the group is left
                time.sleep(0.05)
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._child.stdout.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._freeze and self._child.poll() is None:
            os.killpg(self._child.pid, number)


def prepare(contender: Contender, folder: Path) -> None:
    """Run a function that only prepares something and returns None.

    Raises:
        ContenderError: it failed.
    """
    process = Process(contender, folder / "preparation.log", freeze=False)
    try:
        process.answer()
    finally:
        process.end()


@contextmanager
def started(contenders: Sequence[Contender], folder: Path, *, freeze: bool) -> Iterator[list[Process]]:
    """The contenders' processes; none is left when the context ends.

    Where they are not stopped between turns they start one after the other: together they may be too much for a server.
    """
    with ExitStack() as stack:
        processes = []
        for number, contender in enumerate(contenders):
            process = Process(contender, folder / f"contender-{number}.log", freeze=freeze)
            stack.callback(process.end)
            processes.append(process)
            if not freeze:
                process.start()
        for process in processes:
            process.start()
        yield processes


def measure(
    contenders: Sequence[Contender],
    folder: Path,
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
    unit: str = "pairs/s",
    freeze: bool = True,
    before: float = 0.0,
    settle: float = 0.0,
) -> Measured:
    """Measure contenders in turns, after a round that warms up.

    Args:
        contenders: whom.
        folder: for what they print.
        rounds: turns of each.
        seconds: of a turn.
        say: told of every turn.
        unit: of the amount per second, for ``say``.
        freeze: stop every process while it is not its turn, its threads and workers with it. Not for contenders that
            have requests under way, which a server and the clocks would not wait for.
        before: seconds at the begin of a turn that do not count, in which what was fetched ahead is used up. One that
            is stopped has as much of that at the end of a turn as at its begin.
        settle: seconds between two turns, in which others finish what they have under way.
    """
    rates: dict[str, list[float]] = {}
    with started(contenders, folder, freeze=freeze) as processes:
        for turn in range(-1, rounds):
            for process in processes:
                if process.failure is not None:
                    continue
                try:
                    rate = process.turn(before, seconds)
                except ContenderError as error:
                    process.failure = str(error)
                    rates.pop(process.name, None)
                    say(f"{process.name}: {error}")
                    continue
                if turn >= 0:
                    rates.setdefault(process.name, []).append(rate)
                    say(f"round {turn + 1} of {rounds}: {process.name:<40} {rate:>10,.1f} {unit}")
                time.sleep(settle)
        return Measured(
            {name: Spread.of(each) for name, each in rates.items()},
            {process.name: process.failure for process in processes if process.failure is not None},
            {process.name: process.ready["notes"] for process in processes if process.ready is not None},
            _versions(processes),
        )


def _versions(processes: Sequence[Process]) -> dict[str, str]:
    found: dict[str, str] = {}
    for process in processes:
        for package, number in (process.ready or {"versions": {}})["versions"].items():
            if found.setdefault(package, number) != number:
                found[f"{package} of {process.name}"] = number
    return found
