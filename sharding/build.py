"""Build shards: list the recordings, plan, write what is not finished yet, then index and manifest from the receipts.

A build may be interrupted or killed at any time and run again: what is finished is kept, the rest is written, and the
bytes are those of a build that was never interrupted, with any number of jobs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from clmr.errors import ConfigError
from sharding.assemble import assemble
from sharding.cores import usable_cores
from sharding.datasets import DATASETS
from sharding.datasets.catalog import Catalog, Probe
from sharding.decode import decoder_versions, probe
from sharding.faults import HINTS
from sharding.format import Manifest
from sharding.ownership import check_owner, check_places, mark
from sharding.plan import BuildSettings, PlannedShard, plan_shards
from sharding.pool import write_shards
from sharding.publish import claimed
from sharding.quiet import quiet_libraries
from sharding.resume import check_settings, is_complete, remove_parts, remove_unplanned

PROBES_PER_JOB = 4  # reading a header is waiting for the disk


@dataclass(frozen=True)
class BuildReport:
    """What a build has come to."""

    manifest: Manifest
    ignored: int
    """Files in the source folder that are not audio."""
    kept: int
    """Shards that an earlier run had finished."""

    def summary(self) -> str:
        """One line with all totals."""
        manifest = self.manifest
        totals = f"written {manifest.written} of {manifest.attempted} tracks, {manifest.hours:.1f} h"
        parts = [f"{totals}, {count(len(manifest.shards), 'shard')}"]
        if self.kept:
            parts.append(f"kept {count(self.kept, 'finished shard')}")
        if manifest.skipped:
            parts.append(self.skipped())
        if self.ignored:
            parts.append(f"ignored {count(self.ignored, 'file')} that are not audio")
        return "; ".join(parts)

    def skipped(self) -> str:
        """How many tracks were left out, by reason."""
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.manifest.skipped.items())
        return f"skipped {sum(self.manifest.skipped.values())}: {reasons}"

    def hints(self) -> str:
        """What the reasons mean that a user can do something about; empty where there is none."""
        return "; ".join(f"{reason}: {HINTS[reason]}" for reason in self.manifest.skipped if reason in HINTS)


def count(number: int, noun: str) -> str:
    """A number of things: `1 shard`, `2 shards`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def build(source: Path, root: Path, settings: BuildSettings, jobs: int | None = None) -> BuildReport:
    """Build the shards of a data set.

    Args:
        source: folder of the recordings.
        root: folder of the shards, made where it is missing.
        settings: data set, sample rate, shard size, seed.
        jobs: processes; None for one per core.

    Raises:
        SourceError: the recordings or their labels are not as the data set needs them.
        ConfigError: ``root`` holds a build with other settings, or files of others that a build would replace, or is
            in use by another build, or lies in the source folder or around it.
        ClmrError: a worker was killed.
    """
    if settings.dataset not in DATASETS:
        raise ConfigError(f"{settings.dataset!r} is no data set; one of {', '.join(DATASETS)}")
    jobs = jobs or usable_cores()
    receipt = {**settings.as_dict(), **decoder_versions()}
    check_places(source, root)
    check_owner(root)
    check_settings(root, receipt)
    catalog = DATASETS[settings.dataset](source, settings.seed, jobs)
    shards = plan_shards(catalog.recordings, _probe(catalog, jobs), settings)
    with claimed(root):
        check_settings(root, receipt)  # again, now that no other build can change it
        mark(root)
        kept = _complete(root, shards, settings, receipt, jobs)
        manifest = assemble(root, shards, catalog.labels, settings.as_dict(), decoder_versions())
    assert manifest.attempted == len(catalog.recordings)
    return BuildReport(manifest, catalog.ignored, kept)


def _complete(
    root: Path, shards: Sequence[PlannedShard], settings: BuildSettings, receipt: Mapping[str, object], jobs: int
) -> int:
    """Write the shards that are not finished, remove those of an earlier plan; return how many were finished."""
    remove_parts(root)
    todo = [shard for shard in shards if not is_complete(root, shard)]
    if todo:
        # From here on, until the end, the folder is an unfinished build: nothing may claim otherwise.
        (root / "manifest.json").unlink(missing_ok=True)
        (root / "index.parquet").unlink(missing_ok=True)
        try:
            _write(root, todo, settings, receipt, jobs)
        finally:
            remove_parts(root)
    remove_unplanned(root, shards)
    return len(shards) - len(todo)


def _probe(catalog: Catalog, jobs: int) -> dict[str, Probe]:
    """What size and header say of each recording."""
    with quiet_libraries(), ThreadPoolExecutor(PROBES_PER_JOB * jobs) as pool:
        sound = [recording for recording in catalog.recordings if recording.fault is None]
        probes = pool.map(probe, (recording.path for recording in sound))
        probed = dict(zip((recording.key for recording in sound), probes, strict=True))
    return {recording.key: probed.get(recording.key, Probe()) for recording in catalog.recordings}


def _write(
    root: Path, todo: Sequence[PlannedShard], settings: BuildSettings, receipt: Mapping[str, object], jobs: int
) -> None:
    tracks = sum(len(shard.tracks) for shard in todo)
    patience = 0.1 if sys.stderr.isatty() else 10.0  # seconds between two lines of a log file
    with tqdm(total=tracks, desc=f"{settings.dataset} shards", unit="clip", mininterval=patience) as bar:

        def report(attempted: int, samples: int) -> None:
            elapsed = bar.format_dict["elapsed"]
            bar.set_postfix_str(f"{samples / settings.sample_rate / max(elapsed, 1e-9):.0f}x realtime", refresh=False)
            bar.update(attempted - bar.n)

        write_shards(root, todo, settings, receipt, jobs, report)
