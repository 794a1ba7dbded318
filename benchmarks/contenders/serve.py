"""A contender's process: makes it, checks what it delivers, then measures a turn whenever it is told to.

python -m benchmarks.contenders.serve MODULE:FUNCTION SETTINGS_AS_JSON

It speaks in lines of JSON. First what it is; then it reads how many seconds it is to run before a turn counts and how
many the turn is to last, and answers with the amount per second. Whatever the libraries print goes to standard error.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Any, Protocol

import numpy as np

from benchmarks.corpus import check_pairs

VERSIONED = ("torch", "numpy", "webdataset", "litdata", "mosaicml-streaming", "soundfile")
CHECKED = 8  # pairs of the first batch


class Pairs(Protocol):
    """A batch of crop pairs; ``numpy.asarray`` of it is ``[b, 2, T]`` or ``[b, 2, 1, T]``, int16 or float32."""

    def __len__(self) -> int:
        """Pairs."""


Endless = Iterator[Pairs | int]
"""Batches of pairs, or of an amount that cannot be checked, without end."""
Work = Callable[[], float]
"""Does a piece of work that has an end; its amount per second."""


def rate(batches: Iterable[Pairs | int], seconds: float) -> float:
    """Amount per second, for about so many seconds."""
    begin, amount, now = time.perf_counter(), 0, 0.0
    for batch in batches:
        amount += batch if isinstance(batch, int) else len(batch)
        now = time.perf_counter()
        if now - begin >= seconds:
            break
    return amount / (now - begin)


def checked(batches: Endless) -> tuple[Endless, bool]:
    """The same batches, after the first one's pairs were compared with the clips where they can be."""
    first = next(batches)
    if isinstance(first, int):
        return chain([first], batches), False
    pairs = np.asarray(first)[:CHECKED]
    if np.issubdtype(pairs.dtype, np.floating):  # int16 / 2^15, exact in float32
        pairs = (pairs * 2**15).astype(np.int16)
    check_pairs(pairs.reshape(len(pairs), 2, -1))
    return chain([first], batches), True


def versions() -> dict[str, str]:
    """Of the packages that matter, as far as they are installed here."""
    found = {}
    for package in VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def serve(target: str, settings: dict[str, Any], answer: Callable[[dict[str, Any]], None]) -> None:
    """Make a contender and measure it until the input ends."""
    module, _, name = target.partition(":")
    make = getattr(import_module(module), name)
    made: Endless | Work | None = make(**settings)
    notes = " ".join((inspect.getdoc(make) or "").split())
    if made is None:
        answer({"ready": True, "notes": notes, "versions": versions()})
        return
    if callable(made):
        answer({"ready": True, "notes": notes, "versions": versions(), "checked": False})
        for _ in sys.stdin:
            answer({"rate": made()})
        return
    batches, compared = checked(made)
    answer({"ready": True, "notes": notes, "versions": versions(), "checked": compared})
    for line in sys.stdin:
        before, seconds = map(float, line.split())
        if before:
            rate(batches, before)
        answer({"rate": rate(batches, seconds)})


def main() -> None:
    """Serve what the command line names."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print

    def answer(values: dict[str, Any]) -> None:
        print(json.dumps(values), file=output, flush=True)

    serve(sys.argv[1], json.loads(sys.argv[2]), answer)


if __name__ == "__main__":
    main()
