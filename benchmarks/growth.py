"""What a million tracks cost before and after decoding: planning, receipts, index, manifest, opening, listing.

    python -m benchmarks.growth --tracks 1000000

The rows are made up and no audio is read or written. Each stage runs in the order of a build, in one process; the peak
of its memory is the process's so far.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from clmr.errors import one_line_errors
from sharding.assemble import assemble
from sharding.datasets.catalog import Catalog, Probe, Recording
from sharding.decode import decoder_versions
from sharding.format import ShardInfo, open_shards
from sharding.listing import describe, table
from sharding.members import IndexRow
from sharding.plan import BuildSettings, PlannedShard, plan_shards
from sharding.receipt import write_receipt
from sharding.resume import Sizes, check_settings, dealt_lengths, is_complete, read_receipts
from sharding.storage import LocalPlace

SECONDS = 30.0
FRAMES = int(SECONDS * 22050)
TRACK_BYTES = 1_325_056  # with headers, JSON and padding
TAGS = tuple(f"tag {number:02d}" for number in range(50))


def make_catalog(tracks: int) -> Catalog:
    """As of a million song previews: 8 in 10 for training, three tags each."""
    splits = ("train",) * 8 + ("valid", "test")
    tags = [(TAGS[n % 50], TAGS[(n + 7) % 50], TAGS[(n + 19) % 50]) for n in range(50)]
    recordings = tuple(
        Recording(f"tr{n:016x}", str(n), splits[n % 10], tags[n % 50], (f"{n % 10}/{n // 10 % 10}/{n}.clip.mp3",))
        for n in range(tracks)
    )
    return Catalog("msd", TAGS, recordings, ignored=0)


def make_rows(shard: PlannedShard) -> tuple[ShardInfo, list[IndexRow]]:
    """A shard's rows as if its recordings had been decoded; every hundredth is too short."""
    rows: list[IndexRow] = []
    written = 0
    for recording, _ in shard.recordings():
        number = int(recording.song_id)
        long_enough = number % 100 > 0
        row = IndexRow(
            recording.key,
            "msd",
            recording.split,
            "written" if long_enough else "skipped",
            recording.song_id,
            recording.labels,
            recording.source,
            reason=None if long_enough else "too_short",
            shard=f"{shard.stem}.tar" if long_enough else None,
            pcm_offset=written * TRACK_BYTES + 556 if long_enough else None,
            frames=FRAMES if long_enough else None,
            duration=SECONDS if long_enough else None,
            source_sha256=f"{pow(number + 2, 31, 2**256):064x}",  # as incompressible as a hash
            pcm_xxh3=f"{pow(number + 2, 31, 2**64):016x}" if long_enough else None,
            peak=32767 if long_enough else None,
            clipped=0 if long_enough else None,
            levels=hashlib.blake2b(str(number).encode(), digest_size=60).digest() if long_enough else None,
        )
        rows.append(row)
        written += long_enough
    return ShardInfo(f"{shard.stem}.tar", written * TRACK_BYTES + 1024, written, written * FRAMES, "0" * 64), rows


def measure(tracks: int) -> list[tuple[str, float, float]]:
    """Each stage with its seconds and the process's peak of memory so far, in MiB."""
    stages: list[tuple[str, float, float]] = []

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        # Not getrusage's ru_maxrss: a process starts with that of the one that started it.
        peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024
        stages.append((name, time.perf_counter() - start, peak))

    settings = BuildSettings("msd")
    receipt = {**settings.as_dict(), **decoder_versions()}
    with tempfile.TemporaryDirectory() as name:
        root = LocalPlace(name)
        with stage("list"):
            catalog = make_catalog(tracks)
        probes = {recording.key: Probe(SECONDS, 480_000) for recording in catalog.recordings}
        with stage("plan"):
            shards = plan_shards(catalog.recordings, probes, settings)
        with stage("receipts"):
            for shard in shards:
                write_receipt(root, shard, receipt, *make_rows(shard))
        with stage("resume"):
            receipts = read_receipts(root)
            check_settings(root, receipt, receipts)
            again = plan_shards(catalog.recordings, probes, settings, dealt_lengths(receipts.values()))
            sizes = Sizes(root)
            assert [shard.stem for shard in again] == [shard.stem for shard in shards]
            finished = [is_complete(shard, receipts[shard.stem], receipt, sizes) for shard in again]
            assert not any(finished)  # there are no tars
        with stage("index and manifest"):
            ordered = [receipts[shard.stem] for shard in shards]
            manifest = assemble(root, ordered, catalog.labels, settings.as_dict(), decoder_versions())
        del catalog, probes, shards, again, receipts, ordered  # what follows are commands of their own
        assert (manifest.attempted, sum(manifest.skipped.values())) == (tracks, len(range(0, tracks, 100)))
        with stage("open"):
            opened = open_shards(root)
            opened.index.select(["split", "shard", "song_id", "pcm_offset", "frames"])  # what a loader asks for
        with stage("ls"):
            text = table(describe(root))
        assert (opened.index.num_rows, f"{manifest.written} of {tracks} tracks" in text) == (tracks, True)
    return stages


@click.command()
@click.option("--tracks", default=1_000_000, show_default=True)
@one_line_errors()
def main(tracks: int) -> None:
    """Print each stage's seconds and the peak of memory, and the same as a line of JSON."""
    stages = measure(tracks)
    for name, seconds, peak in stages:
        click.echo(f"{name:20} {seconds:8.1f} s   peak {peak:6.0f} MiB")
    click.echo(json.dumps({"tracks": tracks, "stages": stages}))


if __name__ == "__main__":
    main()
