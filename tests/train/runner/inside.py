"""Run the commands of a plan in this process: the programs are the real ones, their start is not paid for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from train import cpc, embed, pretrain, probe, supervised
from train.runner.__main__ import main
from train.runner.execution import Child

PROGRAMS = {each.__name__.split(".")[-1]: each.main for each in (cpc, embed, pretrain, probe, supervised)}
SMALL = ["--device", "cpu", "--threads", "1"]
TINY = ["--", "--sample-rate", "8000", "--steps", "3", "--width", "16", "--batch-size", "8", "--no-ceilings"]


def commands_inside(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From here on a plan's commands run in this process; returns the list that their programs are written to."""
    started: list[str] = []

    def run(_child: Child, command: Sequence[str]) -> int:
        program = Path(command[1]).stem
        started.append(program)
        try:
            PROGRAMS[program].main(list(command[2:]), standalone_mode=False)
        except SystemExit as end:
            return int(end.code or 0)
        except click.ClickException:
            return 2
        return 0

    monkeypatch.setattr(Child, "run", run)
    return started


def runner(*arguments: str | Path) -> None:
    """``python -m train.runner ...`` in this process."""
    main.main([str(each) for each in arguments], standalone_mode=False)
