"""How a training program ends: one line that says where the run stands, and the exit status."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click


def end(run: Path, where: str, stopped_by: int | None, *, first: bool) -> None:
    """Say where the run stands, and exit with status 130 where Ctrl-C ended it.

    Call it when the other ranks have been left (behind ``placed``): to them an exit would be a failure.

    Args:
        run: folder of the run.
        where: such as ``step 3 of 9``.
        stopped_by: the signal that ended the run before its last step, if one did.
        first: whether this rank is the one that speaks.
    """
    if first:
        unfinished = stopped_by is not None
        click.echo(
            f"{run}: stopped at {where}; the same command goes on from there" if unfinished else f"{run}: {where}"
        )
    # Whoever pressed Ctrl-C does not want the next command of the line; a scheduler's SIGTERM is no failure.
    if stopped_by == signal.SIGINT:
        sys.exit(130)
