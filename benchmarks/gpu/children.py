"""Each part in a process of its own: one that crashes, hangs or breaks the GPU's context takes no other with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.gpu.check import CUT_OFF, FAILED, Outcome, Target, run_all
from benchmarks.gpu.parts import PARTS, Part, part_named

ROOT = Path(__file__).resolve().parents[2]
GRACE = 5.0  # seconds that a part has to end by itself after its time


def serve(name: str, device: str, report: Path, seconds: float, *, quick: bool) -> None:
    """In the child: run a part, and write what came of every check as soon as it is known."""
    begin, part = time.monotonic(), part_named(name)
    where = device if device == "cpu" or ":" in device else f"{device}:0"
    target = Target(torch.device(where), quick, begin + seconds)
    if target.on_gpu:
        torch.cuda.set_device(target.device)
    with report.open("w", encoding="utf-8") as file:
        for check, outcome in run_all(part.name, part.checks(), target):
            line = {"begun": check.name} if outcome is None else asdict(outcome)
            file.write(json.dumps(line) + "\n")
            file.flush()
            if outcome is not None:
                print(progress(outcome), flush=True)


def progress(outcome: Outcome) -> str:
    """A line for people."""
    reason = f": {outcome.reason}" if outcome.reason else ""
    return f"  {outcome.state:<12}{outcome.name}{reason}  ({outcome.seconds:.1f} s)"


def read_report(report: Path, part: Part, failure: str, state: str) -> list[Outcome]:
    """What a child wrote, and of the checks it did not come to that they failed or were cut off.

    Args:
        report: the child's file, whole or not.
        part: which.
        failure: what became of the child; empty where it ended well.
        state: of the check that it was at.
    """
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    values = []
    for line in lines:
        try:
            values.append(json.loads(line))
        except ValueError:  # the child was killed while it wrote
            break
    done = [Outcome(**value) for value in values if "begun" not in value]
    seen, begun = {outcome.name for outcome in done}, [value["begun"] for value in values if "begun" in value]
    for check in part.checks():
        if check.name not in seen:
            at_it = begun[-1:] == [check.name]
            reason = failure if at_it else f"not begun: {failure}"
            done.append(Outcome(part.name, check.name, check.proves, state if at_it else CUT_OFF, reason))
    return done


def run_part(part: Part, device: str, seconds: float, *, quick: bool) -> list[Outcome]:
    """Run a part in a child, for so long at most."""
    with tempfile.TemporaryDirectory(prefix="clmr-gpu-") as folder:
        report = Path(folder) / "report"
        command = [sys.executable, "-m", "benchmarks.gpu", "--part", part.name, "--device", device]
        command += ["--report", str(report), "--seconds", f"{seconds:.1f}", *(["--quick"] if quick else [])]
        child = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        try:
            status = child.wait(timeout=seconds + GRACE)
        except subprocess.TimeoutExpired:
            return read_report(report, part, f"cut off after {seconds:.0f} s, its share of the time", CUT_OFF)
        finally:
            _end(child)
        failure = ""
        if status < 0:
            failure = f"its process died of {signal.Signals(-status).name}"
        elif status > 0:
            failure = f"its process ended with status {status}"
        return read_report(report, part, failure, FAILED)


def _end(child: subprocess.Popen[bytes]) -> None:
    """It and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def run_parts(
    device: str,
    minutes: float,
    *,
    quick: bool,
    keep: Callable[[list[Outcome]], None],
    parts: Sequence[Part] = PARTS,
) -> list[Outcome]:
    """Run the parts one after the other within a time.

    Args:
        device: cuda, cuda:N or cpu.
        minutes: for everything. A part gets its share of what is left, so what one does not need goes to the others.
        quick: small sizes.
        keep: told of all outcomes so far after every part.
        parts: which.
    """
    end = time.monotonic() + 60 * minutes
    outcomes: list[Outcome] = []
    for number, part in enumerate(parts):
        left = end - time.monotonic()
        seconds = max(1.0, (left - GRACE) * part.share / sum(each.share for each in parts[number:]))
        print(f"{part.name}: {part.about} ({seconds:.0f} s of {max(0.0, left):.0f} s at most)", flush=True)
        found = run_part(part, device, seconds, quick=quick)
        for outcome in found:
            if outcome.state == CUT_OFF or (outcome.state == FAILED and not outcome.seconds):
                print(progress(outcome), flush=True)
        outcomes += found
        keep(outcomes)
    return outcomes
