"""Which recording makes the decoder crash: those that a dead worker had in hand are tried alone, in new processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence

from sharding.datasets.catalog import Recording
from sharding.plan import BuildSettings
from sharding.storage import Place
from sharding.write import ShardJob, attempt

TRIES = 2  # a process may also die of what others do to the machine


def crashing(suspects: Sequence[tuple[ShardJob, Recording]]) -> set[str]:
    """Keys of the recordings whose decoding ends a process that does nothing else, each time."""
    return {recording.key for job, recording in suspects if all(_dies(job, recording) for _ in range(TRIES))}


def _dies(job: ShardJob, recording: Recording) -> bool:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_alone, args=(job.source, recording, job.settings), daemon=True)
    process.start()
    process.join()
    return process.exitcode is not None and process.exitcode < 0


def _alone(source: Place, recording: Recording, settings: BuildSettings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libmpg123 comments on damaged files
    attempt(source, recording, settings)
