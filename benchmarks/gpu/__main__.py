"""Check and measure everything that needs a GPU, in ten minutes.

    python -m benchmarks.gpu                        writes benchmarks/gpu-NAME.json and .md
    python -m benchmarks.gpu --only loader          one part, written only where --out says
    python -m benchmarks.gpu --device cpu --quick   what makes sense without a GPU, small: a check of the checks

The exit status is 1 where a check failed, and 2 where there is no GPU.
Needs torch, Triton and NumPy; what needs more is named where that is missing.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu import page
from benchmarks.gpu.absent import why_no_gpu
from benchmarks.gpu.check import Outcome
from benchmarks.gpu.children import ROOT, run_parts, serve
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.sheets import slug

MINUTES = 10.0


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line. No package but Python's own reads it: the check has to start anywhere."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Check and measure a GPU.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 and so on, or cpu; default cuda")
    parser.add_argument("--quick", action="store_true", help="small networks and short rows")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for everything; default 10")
    parser.add_argument("--only", action="append", choices=[part.name for part in PARTS], help="a part; repeatable")
    parser.add_argument("--out", type=Path, help="folder of the results; default benchmarks for a whole run on a GPU")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    options = arguments(given)
    if options.part is not None:
        serve(options.part, options.device, options.report, options.seconds, quick=options.quick)
        return 0
    chosen = re.fullmatch(r"cpu|cuda(?::(\d+))?", options.device)
    if chosen is None:
        print(f"error: --device {options.device}: cuda, cuda:N or cpu", file=sys.stderr)
        return 2
    if options.device != "cpu" and (reason := why_no_gpu()) is not None:
        print(f"error: torch sees no GPU: {reason}", file=sys.stderr)
        return 2
    if options.device != "cpu" and int(chosen[1] or 0) >= torch.cuda.device_count():
        print(f"error: --device {options.device}: there are {torch.cuda.device_count()} GPUs here", file=sys.stderr)
        return 2
    begin = time.monotonic()
    command = " ".join(["python -m benchmarks.gpu", *(sys.argv[1:] if given is None else given)])
    whole = options.device != "cpu" and not options.quick and options.only is None
    folder = options.out or (ROOT / "benchmarks" if whole else None)
    parts = [part for part in PARTS if options.only is None or part.name in options.only]

    def keep(outcomes: list[Outcome]) -> None:
        if folder is not None:
            page.write(outcomes, folder, command, time.monotonic() - begin)

    outcomes = run_parts(options.device, options.minutes, quick=options.quick, keep=keep, parts=parts)
    print(f"{page.summary(outcomes)} in {time.monotonic() - begin:.0f} s")
    wrong = page.gone_wrong(outcomes)
    for outcome in wrong:
        print(f"{outcome.state}: {outcome.part}, {outcome.name}: {outcome.reason}")
    if folder is not None:
        print(f"written to {folder / f'gpu-{slug(page.device_name(outcomes))}.md'}, and beside it as .json")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
