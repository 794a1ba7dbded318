"""A large corpus: opening a million tracks, the cost of a pair by the number of tracks, memory over epochs.

python -m benchmarks.opening            about 3 minutes; writes benchmarks/results/opening-MACHINE.{json,md}
python -m benchmarks.opening --quick    under a minute, for a look; writes nothing

The indexes are of a real size, the shards hold nothing but holes and take no room on the disk.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contenders.registry import HERE
from benchmarks.report import markdown_table, ratio, write_results
from benchmarks.turns import Contender, Measured, measure
from loaders import PairLoader
from sharding.format import open_shards
from sharding.receipt import write_table
from sharding.storage import LocalPlace
from tests.loaders.realistic_million import PER_SHARD, write_realistic

PAIRS = 96  # the paper's batch
SMALL = 1000  # tracks of the folder that is opened first, for the libraries' own memory
FIRST = 5  # epochs after which memory is to stay as it is
SECONDS_AIM, MEGABYTES_AIM, COST_AIM, FLAT_AIM = 5.0, 300.0, 0.9, 4.0
PACKAGES = ("torch", "numpy", "pyarrow")


def resident() -> float:
    """MB of this process's memory now."""
    return _status("VmRSS")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/self/status has no {name}")


def growth(action: Callable[[], object]) -> dict[str, float]:
    """Seconds of an action, and MB by which memory grew: with what it returned held, and at the peak."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins afresh
    before, begin = resident(), time.perf_counter()
    held = action()
    seconds = time.perf_counter() - begin
    peak = _status("VmHWM") - before
    gc.collect()
    after = resident() - before
    del held
    return {"seconds": seconds, "megabytes": after, "peak": peak}


def opened(folder: Path, small: Path, what: str) -> dict[str, float]:
    """What opening costs in a process that has the libraries already."""

    def open_all(root: Path) -> object:
        if what == "PairLoader":
            return PairLoader(root, batch_size=PAIRS)
        shard_set = open_shards(root)
        return shard_set, shard_set.tracks(("train",))

    open_all(small)
    return growth(partial(open_all, folder))


def over_epochs(folder: Path, epochs: int, batch_size: int, crop_frames: int | None) -> list[float]:
    """MB of memory after each epoch."""
    found = []
    with PairLoader(folder, batch_size=batch_size, crop_frames=crop_frames) as loader:
        for _ in range(epochs):
            for batch in loader:
                del batch
            gc.collect()
            found.append(resident())
    return found


def in_a_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:
    """The function's result."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def fold(root: Path) -> Path:
    """Put all tracks into the first shard, over and over the same bytes, so that only the index is large."""
    manifest = open_shards(root).manifest
    shard, *others = manifest.splits["train"]
    table = pq.read_table(root / "index.parquet")
    written = table["shard"].is_valid().to_numpy()
    names = pa.array(np.full(len(written), shard.name), mask=~written)
    table = table.set_column(table.schema.get_field_index("shard"), table.schema.field("shard"), names)
    sha256 = write_table(LocalPlace(root), "index.parquet", table, {})
    for other in others:
        (root / other.name).unlink()
    one = replace(shard, tracks=int(written.sum()), frames=int(written.sum()) * (shard.frames // shard.tracks))
    manifest = replace(manifest, splits={"train": (one,)}, sha256={"index.parquet": sha256})
    (root / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return root


def folded(folder: Path, tracks: int) -> Path:
    """So many tracks of the bytes of :data:`PER_SHARD`, in the page cache."""
    root = folder / f"folded-{tracks}"
    root.mkdir()
    fold(write_realistic(root, tracks))
    with (root / "train" / "000000.tar").open("rb") as file:
        while file.read(1 << 24):
            pass
    return root


def cost_per_pair(folders: Mapping[int, Path], folder: Path, rounds: int, seconds: float) -> Measured:
    """Pairs per second by the number of tracks."""
    contenders = [
        Contender(f"{tracks:,} tracks", f"{HERE}.ours:batch_sizes", {"shards": str(root), "pairs": PAIRS})
        for tracks, root in folders.items()
    ]
    return measure(contenders, folder, rounds=rounds, seconds=seconds, say=click.echo)


def verdict(met: bool) -> str:
    """In a word."""
    return "met" if met else "missed"


def opening_table(costs: dict[str, list[dict[str, float]]]) -> str:
    """What opening cost, as Markdown: the worst of several processes."""
    rows = []
    for what, several in costs.items():
        seconds, megabytes, peak = (max(each[name] for each in several) for name in ("seconds", "megabytes", "peak"))
        met = verdict(seconds <= SECONDS_AIM and peak <= MEGABYTES_AIM)
        rows.append([what, f"{seconds:.2f}", f"{megabytes:.0f}", f"{peak:.0f}", met])
    aim = f"aim {SECONDS_AIM:g} s, {MEGABYTES_AIM:g} MB at the peak"
    return markdown_table(["opening", "seconds", "MB kept", "MB at the peak", aim], rows)


def cost_table(measured: Measured) -> str:
    """Pairs per second by the number of tracks, as Markdown."""
    rows = []
    fewest = next(iter(measured.rates.values()))
    for name, spread in measured.rates.items():
        times = ratio(spread, fewest)
        cells = [f"{times.median:.2f}x", f"{times.lowest:.2f} - {times.highest:.2f}", verdict(times.median >= COST_AIM)]
        rows.append([name, f"{spread.median:,.0f}", *cells])
    header = ["", "pairs/s", "of the fewest tracks'", "lowest - highest", f"aim {COST_AIM}x"]
    return markdown_table(header, rows)


def memory_table(memory: dict[str, list[float]]) -> str:
    """Memory over epochs, as Markdown."""
    rows = []
    for name, each in memory.items():
        later = each[min(FIRST, len(each)) - 1 :]
        slope = float(np.polyfit(np.arange(len(later)), later, 1)[0]) if len(later) > 1 else 0.0
        grown = later[-1] - later[0]
        cells = [f"{later[0]:,.0f}", f"{later[-1]:,.0f}", f"{1000 * slope:+,.0f}", verdict(grown <= FLAT_AIM)]
        rows.append([name, str(len(each)), *cells])
    header = ["memory", "epochs", f"MB after {FIRST}", "MB at the end", "kB per epoch", f"aim {FLAT_AIM:g} MB more"]
    return markdown_table(header, rows)


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of the tracks, short rounds; writes nothing.")
def main(*, quick: bool) -> None:
    """Measure what a large corpus costs."""
    most, rounds, seconds, epochs = (100_000, 2, 0.5, 8) if quick else (1_000_000, 7, 2.0, 40)
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as name:
        folder = Path(name)
        large, small = write_realistic(folder / "large", most), write_realistic(folder / "small", SMALL)
        costs = {
            what: [in_a_fresh_process(opened, large, small, what) for _ in range(1 if quick else 3)]
            for what in ("open_shards and tracks", "PairLoader")
        }
        click.echo(opening_table(costs))
        folders = {tracks: folded(folder, tracks) for tracks in (10_000, 100_000, 1_000_000) if tracks <= most}
        measured = cost_per_pair(folders, folder, rounds, seconds)
        memory = {
            "10,000 tracks": in_a_fresh_process(over_epochs, folders[10_000], epochs, PAIRS, None),
            f"{most:,} tracks, crops of 256 samples": in_a_fresh_process(
                over_epochs, folders[most], max(epochs // 4, FIRST + 3), 4096, 256
            ),
        }
    body = (
        f"{opening_table(costs)}\n{cost_table(measured)}\n{memory_table(memory)}\n"
        f"{most:,} tracks were opened, with an index of a real size, in a fresh process that had opened {SMALL:,} "
        f"before; the worst of {len(next(iter(costs.values())))}. The cost of a pair is that of batches of {PAIRS}; "
        f"the tracks share the bytes of {PER_SHARD} clips, in the page cache; median of {rounds} rounds of "
        f"{seconds:g} s in turns. Memory is that of a fresh process after every epoch.\n\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "settings": {"tracks": most, "pairs": PAIRS},
            "opening": costs,
            "pairs_per_second": {name: asdict(spread) for name, spread in measured.rates.items()},
            "not_measured": measured.missing,
            "memory": memory,
        }
        click.echo(f"written to {write_results('opening', 'A large corpus', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
