"""Build shards: list the recordings, plan, write what is not finished yet, then index and manifest from the receipts.

A build may be interrupted or killed at any time and run again: what is finished is kept, the rest is written, and the
bytes are those of a build that was never interrupted, with any number of jobs and machines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

from clmr.errors import ClmrError, ConfigError
from sharding.assemble import assemble
from sharding.cores import usable_cores
from sharding.datasets import DATASETS
from sharding.datasets.catalog import Catalog, Probe, Recording, Request
from sharding.decode import decoder_versions
from sharding.engine import run_jobs
from sharding.faults import HINTS
from sharding.ffmpeg import ffmpeg_version
from sharding.format import Manifest
from sharding.ownership import check_owner, check_places, mark
from sharding.plan import BuildSettings, PlannedShard, plan_shards
from sharding.probe import probe
from sharding.publish import claimed
from sharding.quiet import quiet_libraries
from sharding.receipt import Receipt
from sharding.resume import (
    Sizes,
    check_settings,
    dealt_lengths,
    has_failures,
    is_complete,
    read_receipts,
    remove_parts,
    remove_unplanned,
    same,
)
from sharding.storage import Place, place_at
from sharding.write import ShardJob

CHUNK = 256  # recordings whose headers one thread reads at a time
PROBES_PER_JOB = 4  # reading a header is waiting for the disk


@dataclass(frozen=True)
class Share:
    """Which part of the work is this process's: one of several tasks of a job array."""

    index: int = 0
    """0 .. count - 1."""
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"task {self.index} of {self.count}: tasks count from 0 to {self.count - 1}")


@dataclass(frozen=True)
class BuildReport:
    """What a build has come to."""

    manifest: Manifest | None
    """None while other tasks of a job array have shards to write."""
    unfinished: int
    """Shards that are not there yet."""
    shards: int
    """In the plan."""
    ignored: int
    """Files in the source folder that are not audio."""
    kept: int
    """Shards that an earlier run had finished."""
    notes: tuple[str, ...] = ()
    """What looks wrong with the source, but may be meant."""

    def summary(self) -> str:
        """One line with all totals."""
        manifest = self.manifest
        if manifest is None:
            return (
                f"this task's shards are written; {self.unfinished} of {count(self.shards, 'shard')} are left to other "
                f"tasks, and the last to finish writes the manifest; if none is at work any more, run the command "
                f"without --task-index"
            )
        totals = f"written {manifest.written} of {manifest.attempted} tracks, {manifest.hours:.1f} h"
        parts = [f"{totals}, {count(len(manifest.shards), 'shard')}"]
        if self.kept:
            parts.append(f"kept {count(self.kept, 'finished shard')}")
        if manifest.skipped:
            parts.append(self.skipped())
        if self.ignored:
            parts.append(f"ignored {count(self.ignored, 'other file')}")
        return "; ".join(parts)

    def skipped(self) -> str:
        """How many tracks were left out, by reason."""
        skipped = self.manifest.skipped if self.manifest else {}
        reasons = ", ".join(f"{reason} {number}" for reason, number in skipped.items())
        return f"skipped {sum(skipped.values())}: {reasons}"

    def hints(self) -> str:
        """What the reasons mean that a user can do something about; empty where there is none."""
        skipped = self.manifest.skipped if self.manifest else {}
        return "; ".join(f"{reason}: {HINTS[reason]}" for reason in skipped if reason in HINTS)


def count(number: int, noun: str) -> str:
    """A number of things: `1 shard`, `2 shards`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def build(
    source: str | os.PathLike[str] | Place,
    root: str | os.PathLike[str] | Place,
    settings: BuildSettings,
    jobs: int | None = None,
    *,
    scheduler: str = "",
    share: Share | None = None,
    retry_failed: bool = False,
) -> BuildReport:
    """Build the shards of a data set.

    Args:
        source: folder of the recordings, by path or URL.
        root: folder of the shards, by path or URL, made where it is missing.
        settings: data set, sample rate, shard size, seed, unit and variant.
        jobs: processes of this machine; None for one per core.
        scheduler: address of a Dask scheduler whose workers write the shards; empty: the processes do.
        share: the part of the work that is this call's; None for all of it.
        retry_failed: attempt once more what was left out of finished shards.

    Raises:
        SourceError: the recordings or their labels are not as the data set needs them.
        ConfigError: ``root`` holds a build with other settings, or files of others that a build would replace, or is
            in use by another build, or lies in the source folder or around it.
        StorageError: a bucket cannot be read or written.
        ClmrError: a worker was killed.
    """
    if settings.dataset not in DATASETS:
        raise ConfigError(f"{settings.dataset!r} is no data set; one of {', '.join(DATASETS)}")
    source, root = place_at(source), place_at(root)
    jobs = jobs or usable_cores()
    check_places(source, root)
    receipt = {**settings.as_dict(), **decoder_versions()}
    _earlier(root, receipt)
    catalog = DATASETS[settings.dataset](Request(source, settings.seed, settings.unit, settings.variant, jobs))
    probes = _probe(source, catalog, jobs)
    task = share or Share()
    alone = share is None and root.root is not None  # nobody else can be at work in a folder that is claimed
    with claimed(root.root, f"{task.index}-of-{task.count}" if share else "") if root.root else nullcontext():
        earlier = _earlier(root, receipt)  # again, now that no other build can change it
        mark(root, receipt, alone=alone)
        remove_parts(root)
        shards = plan_shards(catalog.recordings, probes, settings, dealt_lengths(earlier.values()))
        finished = _finished(root, shards, receipt, earlier)
        work = [
            ShardJob(source, root, shard, settings, receipt, shard.stem in finished, ffmpeg_version())
            for number, shard in enumerate(shards)
            if number % task.count == task.index
            and (shard.stem not in finished or (retry_failed and has_failures(earlier[shard.stem])))
        ]
        if work:
            _write(root, work, jobs, scheduler)
        report = partial(
            BuildReport, shards=len(shards), ignored=catalog.ignored, kept=len(finished), notes=catalog.notes
        )
        while True:
            receipts = _earlier(root, receipt)
            unfinished = len(shards) - len(_finished(root, shards, receipt, receipts))
            if unfinished and share:
                return report(None, unfinished)
            if unfinished:
                raise ClmrError(
                    f"{count(unfinished, 'shard')} of {len(shards)} did not arrive in {root.name}: do the workers, if "
                    f"there are any, see the same folder? run the same command again to go on"
                )
            remove_unplanned(root, shards)
            ordered = [receipts[shard.stem] for shard in shards]
            manifest = assemble(root, ordered, catalog.labels, settings.as_dict(), decoder_versions())
            if alone or same(receipts, read_receipts(root)):
                break  # otherwise another task has finished since: what it wrote goes into the index too
    assert manifest.attempted == len(catalog.recordings)
    return report(manifest, 0)


def _earlier(root: Place, settings: Mapping[str, Any]) -> dict[str, Receipt]:
    """The receipts in the folder, which is not somebody else's, nor of a build with other settings."""
    receipts = read_receipts(root)
    check_owner(root, receipts)
    check_settings(root, settings, receipts)
    return receipts


def _finished(
    root: Place, shards: Sequence[PlannedShard], settings: Mapping[str, Any], receipts: Mapping[str, Receipt]
) -> set[str]:
    """Stems of the shards that are complete."""
    sizes = Sizes(root)
    return {shard.stem for shard in shards if is_complete(shard, receipts.get(shard.stem), settings, sizes)}


def _probe(source: Place, catalog: Catalog, jobs: int) -> dict[str, Probe]:
    """What size and header say of each recording."""
    recordings = catalog.recordings
    chunks = [recordings[start : start + CHUNK] for start in range(0, len(recordings), CHUNK)]
    probed: dict[str, Probe] = {}
    with (
        quiet_libraries(),
        tqdm(total=len(recordings), desc="headers", unit="clip", disable=None, leave=False) as bar,
        ThreadPoolExecutor(PROBES_PER_JOB * jobs) as pool,
    ):
        for chunk, probes in zip(chunks, pool.map(partial(_probe_chunk, source), chunks), strict=True):
            probed.update(zip((recording.key for recording in chunk), probes, strict=True))
            bar.update(len(chunk))
    return probed


def _probe_chunk(source: Place, recordings: Sequence[Recording]) -> list[Probe]:
    return [Probe() if recording.fault else _probe_parts(source, recording) for recording in recordings]


def _probe_parts(source: Place, recording: Recording) -> Probe:
    probes = [probe(source, part) for part in recording.parts]
    return Probe(sum(part.seconds for part in probes), sum(part.bytes for part in probes))


def _write(root: Place, work: Sequence[ShardJob], jobs: int, scheduler: str) -> None:
    """Do the work, with a bar that shows it."""
    # From here on, until the end, the folder is an unfinished build: nothing may claim otherwise.
    root.remove("manifest.json")
    root.remove("index.parquet")
    settings = work[0].settings
    tracks = sum(len(job.shard.tracks) for job in work)
    patience = 0.1 if sys.stderr.isatty() else 10.0  # seconds between two lines of a log file
    with tqdm(total=tracks, desc=f"{settings.dataset} shards", unit="clip", mininterval=patience) as bar:

        def report(attempted: int, samples: int) -> None:
            elapsed = bar.format_dict["elapsed"]
            bar.set_postfix_str(f"{samples / settings.sample_rate / max(elapsed, 1e-9):.0f}x realtime", refresh=False)
            bar.update(attempted - bar.n)

        try:
            run_jobs(work, jobs, scheduler, report)
        finally:
            remove_parts(root)
