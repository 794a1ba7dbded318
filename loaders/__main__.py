"""How fast shards can be read and what limits it; what the streaming cache holds.

python -m loaders bench data/shards/demo
python -m loaders bench data/shards/demo --batch-size 96 --threads 2 --seconds 5 --consumer-ms 20
python -m loaders bench s3://bucket/shards --access ranges --json bench.json
python -m loaders cache --clear
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from clmr.errors import ConfigError, one_line_errors
from loaders.settings import ACCESSES, BACKENDS, parse_size


@click.group()
def cli() -> None:
    """Shards to batches on the device."""


@cli.command(context_settings={"show_default": True})
@click.argument("shards")
@click.option("--batch-size", type=click.IntRange(min=1), default=96, help="Pairs per batch.")
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", help="Who brings crops to the device.")
@click.option("--access", type=click.Choice(ACCESSES), default="auto", help="How remote shards are read.")
@click.option("--device", default="cpu", help="Where batches go: cpu or a CUDA device.")
@click.option("--crop-frames", type=int, help="Samples per crop  [default: the encoder's for the sample rate]")
@click.option("--threads", type=click.IntRange(min=1), help="Reading threads  [default: the cores, at most 4]")
@click.option("--depth", type=click.IntRange(min=1), help="Batches read ahead  [default: 3, more where it is far]")
@click.option("--cache", help="Folder of the streaming cache  [default: $CLMR_CACHE or ~/.cache/clmr/shards]")
@click.option("--cache-size", help="Most the cache may hold, such as 500GiB  [default: 80 % of what is free]")
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=5.0, help="Measuring time of each line.")
@click.option("--consumer-ms", type=click.FloatRange(0, 60_000), help="Add a consumer that sleeps so long per batch.")
@click.option("--json", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here too.")
@one_line_errors()
def bench(
    shards: str,
    seconds: float,
    consumer_ms: float | None,
    target: Path | None,
    cache_size: str | None,
    **options: Any,
) -> None:
    """Crop pairs per second from SHARDS (a path or URL) with nobody computing on them, and what limits the loader.

    Of shards on this machine the ceiling is measured too: it copies crops of the same size from memory into the same
    kind of batches with the same threads. Shards that do not fit the page cache are read from the disk by the loader,
    while the ceiling stays in memory. The consumer of --consumer-ms leaves the CPU alone, as a GPU does.
    """
    from loaders.saturation.bench import Bench

    if target is not None and not (target.parent.is_dir() and os.access(target.parent, os.W_OK)):
        raise ConfigError(f"--json {target}: {target.parent} is no folder that can be written to")
    options["cache_bytes"] = parse_size(cache_size) if cache_size is not None else None
    consumer_seconds = consumer_ms / 1e3 if consumer_ms is not None else None
    measured = Bench(shards, seconds=seconds, consumer_seconds=consumer_seconds, **options)
    for line in measured.lines():
        click.echo(line)
    if target is not None:
        target.write_text(measured.saturation.to_json(), encoding="utf-8")


@cli.command()
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the cache  [default: $CLMR_CACHE or ~/.cache/clmr/shards]",
)
@click.option("--clear", "clearing", is_flag=True, help="Remove the shards that nobody uses now.")
@one_line_errors()
def cache(cache: Path | None, clearing: bool) -> None:
    """The shards that streaming has kept on this machine, used last first."""
    from loaders.cache.content import cache_content, clear
    from loaders.cache.store import cache_root

    root = cache if cache is not None else cache_root(os.environ)
    freed = clear(root) if clearing else 0
    content = cache_content(root)
    for shard in content:
        used = datetime.fromtimestamp(shard.last_use).astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{shard.size / 2**20:>10,.1f} MiB  {used}  {'in use' if shard.in_use else '':<6}  {shard.url}")
    total = sum(shard.size for shard in content)
    click.echo(
        f"{root}: {len(content)} shards, {total / 2**30:,.2f} GiB"
        + (f", {freed / 2**30:,.2f} GiB freed" if clearing else "")
    )


if __name__ == "__main__":
    cli()
