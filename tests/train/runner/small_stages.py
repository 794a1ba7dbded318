"""Stages whose programs are a line or two."""

from __future__ import annotations

from pathlib import Path

from train.runner.plan import Unit
from train.runner.stages import Stage

WRITE = "import pathlib, sys; out = pathlib.Path(sys.argv[1]); out.mkdir(parents=True, exist_ok=True); "
WORKS = WRITE + "(out / 'result').write_text(sys.argv[2])"
FAILS = "raise SystemExit(3)"
WAITS = (
    WRITE + "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (out / 'heard').touch() or sys.exit(0)); "
    "(out / 'ready').touch(); time.sleep(60)"
)


def stage(folder: Path, text: str, argument: str = "a", made_of: tuple[Path, ...] = ()) -> Stage:
    """A stage whose program has that text."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    program = folder.with_suffix(".py")
    program.write_text(text)
    return Stage(folder.name, str(program), (str(folder), argument), folder, "result", None, made_of)


def unit(*stages: Stage) -> Unit:
    folder = stages[0].out.parent
    return Unit(folder.name, folder, stages)
