"""The sharder's commands: python -m sharding {build,verify,ls,page}."""

from __future__ import annotations

import json
import re
import sys

import click

from clmr.errors import ConfigError, one_line_errors
from sharding.plan import SHORTEST_TRACK, BuildSettings
from sharding.storage import place_at

SIZES = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
UNITS_OF_TRACKS = ("clip", "song")
UNIT_HELP = "A track of the shards: one file, or all clips of a song joined (mtat)."
SOME_SKIPPED = 3
SCHEDULER = re.compile(r"[a-z]+://.+:[0-9]+")


def parse_size(text: str) -> int:
    """Bytes from a number with an optional unit: 512MiB, 64KiB, 1000000."""
    match = re.fullmatch(r"([0-9]+)\s*(|KiB|MiB|GiB)", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is no size; give bytes, or a number with KiB, MiB or GiB, such as 512MiB")
    return int(match[1]) * SIZES[match[2]]


@click.group()
def cli() -> None:
    """Turn recordings into shards, check them, and say what is in them."""


@cli.command()
@click.argument("dataset")
@click.option("--source", help="Folder or URL of the recordings.  [default: data/raw/DATASET]")
@click.option("--out", help="Folder or URL for the shards.  [default: data/shards/DATASET]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
@click.option("--sample-rate", type=click.Choice(list(SHORTEST_TRACK)), default=22050, show_default=True, help="Hz.")
@click.option("--unit", type=click.Choice(UNITS_OF_TRACKS), default="clip", show_default=True, help=UNIT_HELP)
@click.option(
    "--variant",
    default="",
    help="Which of the data set's versions: mtat pons, won or lee; fma small to full; study tiny to full.",
)
@click.option(
    "--shard-size",
    default="512MiB",
    show_default=True,
    help="Bytes a shard should not exceed; of a corpus below 32 such shards, a 32nd of it, but at least 16MiB.",
)
@click.option("--seed", default=0, show_default=True, help="Of the order in the shards, and of splits that are drawn.")
@click.option("--retry-failed", is_flag=True, help="Attempt once more what finished shards had to leave out.")
@click.option("--scheduler", help="Dask scheduler whose workers do the work, such as tcp://node-1:8786.")
@click.option("--task-index", type=click.IntRange(min=0), help="Of a job array: which task this is, from 0.")
@click.option("--task-count", type=click.IntRange(min=1), help="Of a job array: how many tasks there are.")
@click.option("--strict", is_flag=True, help="Exit with 3 where any recording was skipped.")
@one_line_errors()
def build(
    dataset: str,
    source: str | None,
    out: str | None,
    jobs: int | None,
    sample_rate: int,
    unit: str,
    variant: str,
    shard_size: str,
    seed: int,
    retry_failed: bool,
    scheduler: str | None,
    task_index: int | None,
    task_count: int | None,
    strict: bool,
) -> None:
    """Decode the recordings of DATASET and write them as shards.

    DATASET is folder (any audio), jsonl (manifests), mtat, msd, fma, gtzan, billboard, demo or study. SOURCE and SHARDS
    are folders or URLs (s3://, gs://, az://).

    Run it again after an interruption: finished shards are kept. Recordings that cannot be used are skipped and
    counted by reason. Exit status: 0 when at least one track is written, 1 when none is or the build failed, 3 with
    --strict when some were skipped.

    A recording that was replaced by another one is noticed by its size or length. Where both are the same, delete the
    receipt of its shard, such as train/000000.parquet, and build again.

    Example: python -m sharding build folder --source ~/Music --out data/shards/mine --jobs 8
    """
    from sharding.build import Share
    from sharding.build import build as run

    if scheduler is not None and not SCHEDULER.fullmatch(scheduler):
        raise ConfigError(f"--scheduler {scheduler!r}: give the address of a Dask scheduler, such as tcp://node-1:8786")
    if (task_index is None) != (task_count is None):
        raise ConfigError("--task-index and --task-count go together: task 0, 1 ... of so many")
    share = Share(task_index, task_count) if task_index is not None and task_count is not None else None
    settings = BuildSettings(dataset, sample_rate, parse_size(shard_size), seed, unit, variant)
    root = place_at(out or f"data/shards/{dataset}")
    report = run(
        source or f"data/raw/{dataset}",
        root,
        settings,
        jobs,
        scheduler=scheduler or "",
        share=share,
        retry_failed=retry_failed,
    )
    click.echo(report.summary())
    for note in report.notes:
        click.echo(f"warning: {note}", err=True)
    manifest = report.manifest
    if manifest is None:
        return
    if manifest.skipped:
        notes = [report.skipped(), report.hints(), f"`python -m sharding ls --json {root.name}` lists every one"]
        click.echo(f"warning: {'; '.join(filter(None, notes))}", err=True)
    if not manifest.written:
        sys.exit(1)
    if strict and manifest.skipped:
        sys.exit(SOME_SKIPPED)


@cli.command()
@click.argument("shards")
@click.option("--jobs", type=click.IntRange(min=1), help="Threads.  [default: one per core]")
@one_line_errors()
def verify(shards: str, jobs: int | None) -> None:
    """Recount and rehash every byte of SHARDS, and name the first one that lies.

    Exit status: 0 when tars, indexes, receipts, index.parquet and manifest.json agree, else 1.

    Example: python -m sharding verify data/shards/demo
    """
    from sharding.cores import usable_cores
    from sharding.verify import verify as run

    click.echo(run(shards, jobs or usable_cores()))


@cli.command()
@click.argument("shards")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@one_line_errors()
def ls(shards: str, as_json: bool) -> None:
    """Say what is in SHARDS: splits, tracks, hours, labels, and what was skipped.

    Example: python -m sharding ls data/shards/demo
    """
    from sharding.listing import describe, table

    listing = describe(shards)
    click.echo(json.dumps(listing, indent=2, ensure_ascii=False) if as_json else table(listing))


@cli.command()
@click.argument("shards")
@click.option("--out", help="File to write.  [default: SHARDS/page.html, or ./page.html for a bucket]")
@click.option("--tracks", type=click.IntRange(min=0), default=12, show_default=True, help="To look at and listen to.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of their draw.")
@one_line_errors()
def page(shards: str, out: str | None, tracks: int, seed: int) -> None:
    """Write one HTML page about SHARDS, to look at and to listen to; it needs no network.

    Example: python -m sharding page data/shards/demo
    """
    from sharding.page import write_page

    click.echo(write_page(shards, out, tracks=tracks, seed=seed))


if __name__ == "__main__":
    cli(prog_name="python -m sharding")
