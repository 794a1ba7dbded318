"""Loaders over small shards, and what came out of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from clmr.errors import ConfigError
from loaders import Batch, PairLoader
from tests.loaders.small_shards import CROP

BATCH = 8


def open_loader(shards: Path | str | Mapping[str, float], **settings: Any) -> PairLoader:
    return PairLoader(shards, **{"batch_size": BATCH, "crop_frames": CROP, "seed": 3, "threads": 2, **settings})


def take(loader: PairLoader, number: int) -> list[Batch]:
    """The next batches, across epochs."""
    batches: list[Batch] = []
    while len(batches) < number:
        batches += islice(loader, number - len(batches))
    return batches


def content(batches: list[Batch]) -> list[tuple[int, int, bytes, bytes, bytes]]:
    """Everything that must be reproduced, comparable by ==."""
    return [
        (b.epoch, b.step, b.pcm.numpy().tobytes(), b.keys.numpy().tobytes(), b.track.numpy().tobytes()) for b in batches
    ]


def assert_refused_after_fork(read: Callable[[], object]) -> None:
    """A child made by fork() is told that it cannot ``read``, instead of waiting for threads that it has not."""
    parent, child = os.pipe()
    if (process := os.fork()) == 0:
        try:
            read()
            os.write(child, b"no error")
        except ConfigError as error:
            os.write(child, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    assert b"threads do not survive fork()" in os.read(parent, 1000)
    os.close(parent)
    os.close(child)
