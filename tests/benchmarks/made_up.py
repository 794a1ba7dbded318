"""Contenders to test the taking of turns with, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.corpus import clip_pcm


def steady(amount: int) -> Iterator[int]:
    """So much every millisecond, at most."""
    while True:
        time.sleep(0.001)
        yield amount


def pieces(wrong: bool) -> Iterator[npt.NDArray[np.int16]]:
    """Pairs of crops of two clips, one of them with one sample changed where ``wrong`` says so."""
    pairs = np.array([[clip_pcm(clip)[start : start + 100] for start in (clip, 5000)] for clip in (3, 4)])
    pairs[1, 1, 50] += wrong
    while True:
        yield pairs


def work() -> Callable[[], float]:
    """Work that has an end."""
    return lambda: 12.5


def nothing(word: str) -> None:
    """Only prepares something."""
    print(f"a library prints {word}")


def ends_soon() -> Iterator[int]:
    """Fails in its second turn."""
    yield from [1] * 3
    raise ValueError("the tape\nis torn")


def absent() -> Iterator[int]:
    """Wants a module that nobody has."""
    import no_such_library  # type: ignore[import-not-found]  # that is the point

    yield from no_such_library.batches()
