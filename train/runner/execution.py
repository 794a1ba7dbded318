"""Run the stages of a plan one after another: skip what is done, go on behind what fails, stop when asked to."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

import click

from clmr.errors import ClmrError, ConfigError
from sharding.publish import claimed
from train.runner.costs import Meter, note_cost
from train.runner.plan import Unit
from train.runner.stages import Stage

ROOT = Path(__file__).resolve().parents[2]


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The plan ends here for now."""


class Child:
    """The command that runs, and the signals that end the plan with it.

    A terminal sends Ctrl-C to the command as well; SIGTERM and SIGUSR1, which a scheduler sends to one process, are
    passed on. Training programs then write a checkpoint.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        if number != signal.SIGINT and self._process is not None:
            self._process.send_signal(number)

    def check(self) -> None:
        """Raise :class:`Stopped` when a signal has come."""
        if self.signal is not None:
            raise Stopped

    def run(self, command: Sequence[str]) -> int:
        """The exit status of a command, negative after a signal."""
        self.check()
        self._process = subprocess.Popen(command)
        try:
            return self._process.wait()
        finally:
            self._process = None


@dataclass(frozen=True)
class Failure:
    """A unit that did not come to its end."""

    unit: str
    reason: str


def words(stage: Stage) -> tuple[list[str], list[str]]:
    """The command to run, and the same as a user would type it in the current folder."""
    script = ROOT / "train" / stage.script
    typed = f"train/{stage.script}" if Path.cwd() == ROOT else str(script)
    options = [*stage.arguments, *(stage.places.options if stage.places else ())]
    if stage.places is None or stage.places.processes == 1:
        return [sys.executable, str(script), *options], ["python", typed, *options]
    launch = ["--standalone", "--nproc-per-node", str(stage.places.processes), "--"]
    launcher = [sys.executable, "-m", "torch.distributed.run", *launch]
    return [*launcher, str(script), *options], ["torchrun", *launch, typed, *options]


def show(units: Sequence[Unit]) -> None:
    """Print every command that would run, and which need not."""
    for unit in units:
        click.echo(f"\n# {unit.name}" + (f": {unit.about}" if unit.about else ""))
        for stage in unit.stages:
            click.echo(("# finished: " if stage.finished() else "") + shlex.join(words(stage)[1]))


def execute(units: Sequence[Unit]) -> list[Failure]:
    """Run what is not finished.

    Returns:
        The units that failed, each with the stage and what became of it.

    Raises:
        SystemExit: a signal stopped it: 130 after Ctrl-C, else 0, because the same command goes on.
    """
    failures: list[Failure] = []
    with Child() as child:
        for place, unit in enumerate(units, start=1):
            click.echo(f"\n[{place}/{len(units)}] {unit.name}" + (f": {unit.about}" if unit.about else ""))
            try:
                with claimed(unit.folder, unit.share):
                    reason = _run_unit(unit, child)
            except ClmrError as error:
                reason = " ".join(str(error).split())
            except Stopped:
                click.echo(f"stopped in {unit.name}; the same command goes on from there", err=True)
                sys.exit(130 if child.signal == signal.SIGINT else 0)
            if reason is not None:
                failures.append(Failure(unit.name, reason))
                click.echo(f"failed: {unit.name}: {reason}", err=True)
    return failures


def _run_unit(unit: Unit, child: Child) -> str | None:
    """Run the stages of a unit; returns what failed."""
    for stage in unit.stages:
        _wait_for(stage.out, child)
        if stage.finished():
            click.echo(f"{stage.name}: finished before")
            continue
        command, typed = words(stage)
        click.echo(f"$ {shlex.join(typed)}")
        sys.stdout.flush()
        meter = Meter()
        status = child.run(command)
        note_cost(unit.folder, meter.cost(stage.name))
        if child.signal is not None:
            if status == 0:
                stage.conclude()
            raise Stopped
        if status:
            return f"{stage.name}, exit status {status}"
        stage.conclude()
        if not stage.finished():  # a training that was sent SIGTERM ends well, and is not finished
            raise Stopped
    return None


def _wait_for(folder: Path, child: Child) -> None:
    """Wait while another process works in the folder: a command that outlived a runner killed with SIGKILL."""
    waited = False
    while folder.is_dir():
        try:
            with claimed(folder):
                return
        except ConfigError as error:
            if not waited:
                click.echo(f"waiting: {error}", err=True)
            waited = True
            time.sleep(0.2)
            child.check()


def end(failures: Sequence[Failure], units: Sequence[Unit]) -> None:
    """Name the failures.

    Raises:
        ConfigError: there are any.
    """
    if failures:
        named = "; ".join(f"{failure.unit} ({failure.reason})" for failure in failures)
        raise ConfigError(
            f"{len(failures)} of {len(units)} failed: {named}. What went wrong stands above; mend it and run the same "
            "command again, which skips what is finished"
        )
