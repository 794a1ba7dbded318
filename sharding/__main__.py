"""The sharder's commands: python -m sharding {build,verify,ls}."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from clmr.errors import ConfigError, one_line_errors
from sharding.plan import SHORTEST_TRACK, BuildSettings

UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SOME_SKIPPED = 3


def parse_size(text: str) -> int:
    """Bytes from a number with an optional unit: 512MiB, 64KiB, 1000000."""
    match = re.fullmatch(r"([0-9]+)\s*(|KiB|MiB|GiB)", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is no size; give bytes, or a number with KiB, MiB or GiB, such as 512MiB")
    return int(match[1]) * UNITS[match[2]]


@click.group()
def cli() -> None:
    """Turn recordings into shards, check them, and say what is in them."""


@cli.command()
@click.argument("dataset")
@click.option("--source", help="Folder of the recordings.  [default: data/raw/DATASET]")
@click.option("--out", help="Folder for the shards.  [default: data/shards/DATASET]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
@click.option("--sample-rate", type=click.Choice(list(SHORTEST_TRACK)), default=22050, show_default=True, help="Hz.")
@click.option(
    "--shard-size",
    default="512MiB",
    show_default=True,
    help="Bytes a shard should not exceed; of a corpus below 32 such shards, a 32nd of it, but at least 16MiB.",
)
@click.option("--seed", default=0, show_default=True, help="Of the order in the shards, and of splits that are drawn.")
@click.option("--strict", is_flag=True, help="Exit with 3 where any recording was skipped.")
@one_line_errors()
def build(
    dataset: str,
    source: str | None,
    out: str | None,
    jobs: int | None,
    sample_rate: int,
    shard_size: str,
    seed: int,
    strict: bool,
) -> None:
    """Decode the recordings of DATASET (folder, demo) and write them as shards.

    Run it again after an interruption: finished shards are kept. Recordings that cannot be used are skipped and
    counted by reason. Exit status: 0 when at least one track is written, 1 when none is or the build failed, 3 with
    --strict when some were skipped.

    A recording that was replaced by another one is noticed by its size or length. Where both are the same, delete the
    receipt of its shard, such as train/000000.parquet, and build again.

    Example: python -m sharding build folder --source ~/Music --out data/shards/mine --jobs 8
    """
    from sharding.build import build as run
    from sharding.format import URL_PATTERN, shard_root

    if source and URL_PATTERN.match(source):
        raise ConfigError(f"--source {source}: URLs are not supported yet; download it and give the local folder")
    settings = BuildSettings(dataset, sample_rate, parse_size(shard_size), seed)
    root = shard_root(out or f"data/shards/{dataset}")
    report = run(Path(source or f"data/raw/{dataset}"), root, settings, jobs)
    click.echo(report.summary())
    manifest = report.manifest
    if manifest.skipped:
        notes = [report.skipped(), report.hints(), f"`python -m sharding ls --json {root}` lists every one"]
        click.echo(f"warning: {'; '.join(filter(None, notes))}", err=True)
    if not manifest.written:
        sys.exit(1)
    if strict and manifest.skipped:
        sys.exit(SOME_SKIPPED)


@cli.command()
@click.argument("shards")
@one_line_errors()
def verify(shards: str) -> None:
    """Recount and rehash every byte of SHARDS, and name the first one that lies.

    Exit status: 0 when tars, indexes, receipts, index.parquet and manifest.json agree, else 1.

    Example: python -m sharding verify data/shards/demo
    """
    from sharding.verify import verify as run

    click.echo(run(shards))


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


if __name__ == "__main__":
    cli(prog_name="python -m sharding")
