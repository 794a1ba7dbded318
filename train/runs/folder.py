"""The folder of a run, held by its one writer, and the copies of its checkpoints elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from clmr.errors import ConfigError
from sharding.publish import claimed
from sharding.storage import place_at
from train.ranks.launch import Place
from train.runs.checkpoint_store import CheckpointStore

PATIENCE = 120.0
"""Seconds an elastic restart waits for its predecessor's claim to end. A file server lets go of the claim of a machine
that is gone when its lease runs out (NFS: 90 s); on one machine a claim ends with its process."""
LEAVING = 10.0
"""Seconds that a run which fails waits for its last upload; torchrun ends it after 30."""


class RunFolder:
    """What a run may do with its folder; on ranks other than the first, and without copies, nothing."""

    def __init__(self, store: CheckpointStore | None) -> None:
        self._store = store

    def fetch(self, check: Callable[[Path], None]) -> None:
        """As :meth:`CheckpointStore.fetch`; call it on the first rank, before the run looks for its checkpoints."""
        if self._store is not None:
            self._store.fetch(check)

    def saved(self, step: int) -> None:
        """The checkpoint of ``step`` is written; have it copied."""
        if self._store is not None:
            self._store.send(step)


@contextmanager
def run_folder(run: Path, place: Place, checkpoints: str | None = None, *, writes: bool = True) -> Iterator[RunFolder]:
    """Hold a run's folder on the first rank; at the end wait for the last copy and say whether it got there.

    Args:
        run: folder of the run.
        place: of this process; all ranks may enter, only the first one does anything.
        checkpoints: path or URL of the folder for copies; None for none.
        writes: False for a command that leaves the folder as it is, and need not wait for who holds it.

    Raises:
        ConfigError: another process holds the folder, or the URL cannot be used.
    """
    if not (place.first and writes):
        yield RunFolder(None)
        return
    with ExitStack() as stack:
        _claim(run, stack)
        store = CheckpointStore(place_at(checkpoints), run) if checkpoints is not None else None
        try:
            yield RunFolder(store)
        except BaseException:
            if store is not None and store.used:
                click.echo(store.close(LEAVING), err=True)
            raise
        if store is not None:
            click.echo(store.close(), err=True)


def _claim(run: Path, stack: ExitStack) -> None:
    """Claim ``run``, with patience where torchrun starts processes again."""
    end = time.monotonic() + (PATIENCE if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) else 0.0)
    told = False
    while True:
        try:
            stack.enter_context(claimed(run))
        except ConfigError as error:
            if time.monotonic() >= end:
                raise
            if not told:
                print(f"waiting: {error}", file=sys.stderr, flush=True)
                told = True
            time.sleep(0.5)
        else:
            return
