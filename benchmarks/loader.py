"""Crop pairs per second from page-cached 30 s clips: PairLoader, plain memory copying, and two peers, in one run.

python -m benchmarks.loader            about 4 minutes; writes benchmarks/results/loader-MACHINE.{json,md}
python -m benchmarks.loader --quick    under a minute, for a look; writes nothing
"""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import click
import numpy as np
import soundfile

from benchmarks.peers import SOUNDFILE_SETTINGS, WEBDATASET_SETTINGS, soundfile_pairs, webdataset_pairs
from benchmarks.report import Spread, markdown_table, ratio, write_results
from loaders import PairLoader
from loaders.speed import CopyCeiling, endless, pairs_per_second
from loaders.threads import default_threads
from sharding.build import build
from sharding.format import open_shards
from sharding.plan import BuildSettings

SAMPLE_RATE = 22050  # Hz
CLIP_SECONDS = 30
CROP_FRAMES = 59049
PAIRS = 96  # the paper's batch
SHARD_BYTES = 64 * 2**20  # several shards, so that two workers have enough to share
PACKAGES = ("torch", "numpy", "webdataset", "soundfile")
AHEAD = 6  # batches at most that a contender has ready when its turn comes; not counted
SETTLE_SECONDS = 0.5  # after a turn, until its workers have filled their queues again

OURS, CEILING = "PairLoader", "memory copy"


def write_clips(source: Path, clips: int) -> None:
    """White noise at -20 dB as mono WAV files, all of the training split."""
    rng = np.random.default_rng(0)
    source.mkdir()
    rows = ["path,tags,split,song_id"]
    for number in range(clips):
        pcm = rng.integers(-5000, 5001, SAMPLE_RATE * CLIP_SECONDS, dtype=np.int16)
        soundfile.write(source / f"{number:05d}.wav", pcm, SAMPLE_RATE, subtype="PCM_16")
        rows.append(f"{number:05d}.wav,noise,train,{number}")
    (source / "labels.csv").write_text("\n".join(rows) + "\n")


def contenders(shards: Path, extracted: Path, threads: int) -> dict[str, Iterator[int]]:
    """Endless batch sizes of every way to load, by name."""
    tars = sorted((shards / "train").glob("*.tar"))
    for tar in tars:
        with tarfile.open(tar) as archive:
            archive.extractall(extracted, filter="data")
    files = sorted(extracted.glob("*.wav"))
    for path in [*tars, *files]:
        path.read_bytes()  # into the page cache
    loader = PairLoader(shards, batch_size=PAIRS, threads=threads)
    ceiling = CopyCeiling(shards, open_shards(shards).tracks(("train",)), crop_frames=CROP_FRAMES, pairs=PAIRS, threads=threads)
    common = {"crop_frames": CROP_FRAMES, "pairs": PAIRS}
    return {
        OURS: endless(loader),
        CEILING: ceiling.batches(),
        **{f"webdataset, {w} workers": webdataset_pairs(tars, workers=w, **common) for w in (0, 2)},
        **{f"DataLoader + soundfile, {w} workers": soundfile_pairs(files, workers=w, **common) for w in (0, 2)},
    }


def measure(sources: dict[str, Iterator[int]], rounds: int, seconds: float) -> dict[str, Spread]:
    """Pairs per second of each source, the sources taking turns."""
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for number in range(-1, rounds):  # the first round warms up
        for name, source in sources.items():
            for _ in islice(source, AHEAD):
                pass
            rate = pairs_per_second(source, seconds)
            if number >= 0:
                rates[name].append(rate)
                click.echo(f"round {number + 1} of {rounds}: {name:<34} {rate:>9,.0f} pairs/s")
            time.sleep(SETTLE_SECONDS)
    return {name: Spread.of(measured) for name, measured in rates.items()}


def verdict(ratios: dict[str, Spread]) -> str:
    """The two aims and whether they are met."""
    share = ratios[CEILING].median
    best_stream = min(spread.median for name, spread in ratios.items() if name.startswith("webdataset"))
    return (
        f"Of the memory-copy ceiling: {share:.0%} (aim 80 %: {'met' if share >= 0.8 else 'missed'}). "
        f"Against the faster webdataset: {best_stream:.1f}x (aim 10x: {'met' if best_stream >= 10 else 'missed'}).\n"
    )


@click.command()
@click.option("--quick", is_flag=True, help="Few clips, short rounds; writes nothing.")
@click.option("--threads", type=int, help="Threads of PairLoader and of the memory copy; by default as PairLoader has.")
def main(*, quick: bool, threads: int | None) -> None:
    """Measure PairLoader against the memory-copy ceiling and two peers."""
    clips, rounds, seconds = (120, 2, 0.5) if quick else (768, 7, 2.0)
    threads = threads if threads is not None else default_threads()
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as folder:
        source, shards = Path(folder) / "clips", Path(folder) / "shards"
        write_clips(source, clips)
        build(source, shards, BuildSettings(dataset="folder", sample_rate=SAMPLE_RATE, shard_size=SHARD_BYTES))
        rates = measure(contenders(shards, Path(folder) / "extracted", threads), rounds, seconds)
    ratios = {name: ratio(rates[OURS], spread) for name, spread in rates.items()}
    pair_megabytes = 2 * CROP_FRAMES * 2 / 1e6
    rows = [
        [
            name,
            f"{spread.median:,.0f}",
            f"{spread.lowest:,.0f} - {spread.highest:,.0f}",
            f"{spread.median * pair_megabytes:,.0f}",
            f"{ratios[name].median:.2f}x ({ratios[name].lowest:.2f} - {ratios[name].highest:.2f})",
        ]
        for name, spread in rates.items()
    ]
    table = markdown_table(["", "pairs/s", "lowest - highest", "MB/s of crops", "PairLoader is"], rows)
    body = (
        f"{table}\n{verdict(ratios)}\n"
        f"{clips} clips of {CLIP_SECONDS} s at {SAMPLE_RATE} Hz in the page cache; batches of {PAIRS} pairs of "
        f"{CROP_FRAMES} samples, int16, dropped at once; {threads} threads for PairLoader and memory copy. Median of "
        f"{rounds} rounds of {seconds} s in turns; ratios are medians of the rounds' ratios.\n\n"
        "The peers take new memory for every batch. In a virtual machine clearing a page can cost 10 us, hence their "
        "spread; PairLoader uses its batches again.\n\n"
        f"- memory copy: crops copied from PCM in memory into preallocated batches alike, no order, no draws\n"
        f"- webdataset: {WEBDATASET_SETTINGS}\n- DataLoader + soundfile: {SOUNDFILE_SETTINGS}\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "settings": {"clips": clips, "pairs": PAIRS, "crop_frames": CROP_FRAMES, "threads": threads},
            "pairs_per_second": {name: asdict(spread) for name, spread in rates.items()},
            "pairloader_is": {name: asdict(spread) for name, spread in ratios.items()},
        }
        click.echo(f"written to {write_results('loader', 'Loader', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
