"""How fast a folder of shards can be read.

python -m loaders bench data/shards/demo
python -m loaders bench data/shards/demo --batch-size 96 --threads 2 --seconds 5
"""

from __future__ import annotations

from statistics import median

import click

from clmr.errors import one_line_errors

ROUNDS = 5


@click.group()
def cli() -> None:
    """Shards to batches on the device."""


@cli.command()
@click.argument("shards")
@click.option("--batch-size", type=click.IntRange(min=1), default=96, show_default=True, help="Pairs per batch.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="Measuring time for each line of the table.",
)
@click.option("--threads", type=int, help="Reading threads; by default the cores available, at most 4.")
@click.option("--crop-frames", type=int, help="Samples per crop; by default the encoder's for the sample rate.")
@one_line_errors()
def bench(shards: str, batch_size: int, seconds: float, threads: int | None, crop_frames: int | None) -> None:
    """Crop pairs per second from SHARDS with nobody computing on them, against plain memory copying.

    The ceiling copies crops of the same size from memory into the same kind of batches with the same threads. Shards
    that do not fit the page cache are read from the disk by the loader, while the ceiling stays in memory.
    """
    from loaders.pairs import PairLoader
    from loaders.speed import CopyCeiling, endless, pairs_per_second
    from loaders.threads import default_threads
    from sharding.format import open_shards

    threads = threads if threads is not None else default_threads()
    with PairLoader(shards, batch_size=batch_size, crop_frames=crop_frames, threads=threads) as loader:
        shard_set = open_shards(shards)
        ceiling = CopyCeiling(
            shard_set.root,
            shard_set.tracks(("train",)),
            crop_frames=loader.crop_frames,
            pairs=batch_size,
            threads=threads,
        )
        sources = {"PairLoader": endless(loader), "memory copy": ceiling.batches()}
        rates: dict[str, list[float]] = {name: [] for name in sources}
        for source in sources.values():
            pairs_per_second(source, seconds / ROUNDS)  # warm: page cache, slabs, open files
        waited = loader.wait_seconds
        for _ in range(ROUNDS):  # interleaved, so that other load on the machine meets both alike
            for name, source in sources.items():
                rates[name].append(pairs_per_second(source, seconds / ROUNDS))
        waited = (loader.wait_seconds - waited) / seconds
        ceiling.close()
    pair_bytes = 2 * loader.crop_frames * 2
    best = median(rates["memory copy"])
    click.echo(f"{shards}: {loader.track_count} tracks, {loader.crop_frames} samples per crop, {threads} threads")
    click.echo(f"{'':<12} {'pairs/s':>9} {'lowest':>9} {'highest':>9} {'MB/s':>8} {'of copy':>8} {'waiting':>8}")
    for name, measured in rates.items():
        middle = median(measured)
        waiting = f"{min(waited, 1.0):>8.0%}" if name == "PairLoader" else ""
        click.echo(
            f"{name:<12} {middle:>9,.0f} {min(measured):>9,.0f} {max(measured):>9,.0f} "
            f"{middle * pair_bytes / 1e6:>8,.0f} {middle / best:>8.0%} {waiting}"
        )


if __name__ == "__main__":
    cli()
