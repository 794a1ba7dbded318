"""Crop pairs per second from page-cached 30 s clips: PairLoader, plain memory copying, and its peers, in one run.

python -m benchmarks.loader            about 7 minutes; writes benchmarks/results/loader-MACHINE.{json,md}
python -m benchmarks.loader --quick    about a minute, for a look; writes nothing

LitData and MosaicML Streaming want packages that differ from this project's: install benchmarks/requirements-peers.txt
into an environment of their own and name its interpreter with --peers-python or CLMR_PEERS_PYTHON.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks.aims import Aim, aim_table, notes_list
from benchmarks.contenders.registry import COPY, OURS, Corpus, converters, local_contenders
from benchmarks.corpus import CLIP_SECONDS, CROP_FRAMES, SAMPLE_RATE, write_clips
from benchmarks.report import markdown_table, ratio, write_results
from benchmarks.turns import ContenderError, Measured, measure, prepare
from loaders.reading.threads import default_threads
from sharding.build import build
from sharding.cores import usable_cores
from sharding.plan import BuildSettings

PAIRS = 96  # the paper's batch
SHARD_BYTES = 64 * 2**20  # several shards, so that two workers have enough to share
PACKAGES = ("torch", "numpy", "nvidia-dali-cuda130")


def aims(workers: int) -> tuple[Aim, ...]:
    """What PairLoader's default is compared with; of several the fastest counts."""
    advised = tuple(f"LitData {what}, {workers} workers" for what in ("items", "windows"))
    return (
        Aim("the memory copy", (COPY,), 0.8),
        Aim("webdataset", ("webdataset, ",), 10),
        Aim("DALI's reader with slicing", ("DALI readers.webdataset",), 5),
        Aim("LitData", ("LitData items, ", "LitData windows, "), 5),
        Aim("LitData with a worker per core, as it advises", advised, None),
        Aim("MosaicML Streaming", ("MosaicML Streaming, ",), 5),
        Aim("DataLoader + soundfile", ("DataLoader + soundfile, ",), 5),
        Aim("the official chain without effects", ("official chain, ",), None),
    )


def make_corpus(folder: Path, clips: int) -> Corpus:
    """Clips as WAV files and as shards, in the page cache."""
    files = write_clips(folder / "clips", clips)
    build(
        folder / "clips",
        folder / "shards",
        BuildSettings(dataset="folder", sample_rate=SAMPLE_RATE, shard_size=SHARD_BYTES),
    )
    shards = sorted((folder / "shards" / "train").glob("*.tar"))
    for path in (*files, *shards):
        path.read_bytes()
    return Corpus(folder, tuple(files), tuple(shards))


def run(corpus: Corpus, *, threads: int, workers: int, peers_python: str, rounds: int, seconds: float) -> Measured:
    """Convert the corpus for the peers that want their own format, and measure everybody."""
    common = {"pairs": PAIRS, "crop_frames": CROP_FRAMES}
    unusable: dict[str, str] = {}
    for package, contender in converters(corpus, peers_python).items():
        try:
            prepare(contender, corpus.folder)
        except ContenderError as error:
            unusable[package] = str(error)
    wanted, missing = [], {}
    for contender, package in local_contenders(corpus, common, threads, workers, peers_python):
        if package in unusable:
            missing[contender.name] = unusable[package]
        else:
            wanted.append(contender)
    measured = measure(wanted, corpus.folder, rounds=rounds, seconds=seconds, say=click.echo)
    measured.missing.update(missing)
    return measured


def results(measured: Measured, workers: int) -> str:
    """The results as Markdown."""
    pair_megabytes = 2 * CROP_FRAMES * 2 / 1e6
    ours = measured.rates[OURS]
    rows = []
    for name, spread in measured.rates.items():
        times = ratio(ours, spread)
        rows.append(
            [
                name,
                f"{spread.median:,.0f}",
                f"{spread.lowest:,.0f} - {spread.highest:,.0f}",
                f"{spread.median * pair_megabytes:,.0f}",
                f"{times.median:.2f}x ({times.lowest:.2f} - {times.highest:.2f})",
            ]
        )
    missing = [[name, "not measured", reason, "", ""] for name, reason in measured.missing.items()]
    table = markdown_table(["", "pairs/s", "lowest - highest", "MB/s of crops", "PairLoader is"], [*rows, *missing])
    return f"{table}\n{aim_table(aims(workers), measured, OURS)}\n{notes_list(measured)}"


@click.command()
@click.option("--quick", is_flag=True, help="Few clips, short rounds; writes nothing.")
@click.option("--clips", type=click.IntRange(min=PAIRS), help="Clips to make, 768 or with --quick 192.")
@click.option("--rounds", type=click.IntRange(min=1), help="Turns of each contender, 7 or with --quick 2.")
@click.option("--threads", type=int, help="Threads of PairLoader and of the memory copy; by default as PairLoader has.")
@click.option("--workers", type=int, help="Worker processes of peers that have them; by default one per core.")
@click.option(
    "--peers-python",
    envvar="CLMR_PEERS_PYTHON",
    type=click.Path(exists=True, dir_okay=False),
    default=sys.executable,
    help="Interpreter with benchmarks/requirements-peers.txt; by default this one.",
)
def main(
    *,
    quick: bool,
    clips: int | None,
    rounds: int | None,
    threads: int | None,
    workers: int | None,
    peers_python: str,
) -> None:
    """Measure PairLoader against the memory-copy ceiling and its peers."""
    clips, rounds, seconds = clips or (192 if quick else 768), rounds or (2 if quick else 7), 0.5 if quick else 2.0
    threads, workers = threads or default_threads(), workers or usable_cores()
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as folder:
        corpus = make_corpus(Path(folder), clips)
        measured = run(
            corpus, threads=threads, workers=workers, peers_python=peers_python, rounds=rounds, seconds=seconds
        )
    if OURS not in measured.rates:
        raise click.ClickException(f"{OURS} could not be measured: {measured.missing[OURS]}")
    body = results(measured, workers) + (
        f"\n{clips} clips of {CLIP_SECONDS} s at {SAMPLE_RATE} Hz in the page cache; batches of {PAIRS} pairs of "
        f"{CROP_FRAMES} samples, dropped at once; {threads} threads for PairLoader, memory copy and DALI. Each "
        f"contender in a process of its own, stopped while others are measured; its first batch was compared with the "
        f"clips. Median of {rounds} rounds of {seconds} s in turns; ratios are medians of the rounds' ratios.\n\n"
        "Peers take new memory for batches, and through shared memory where they have workers. In a virtual machine "
        "the first touch of a page can cost 10 us and more, hence much of their spread; PairLoader uses its batches "
        "again.\n\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "settings": {"clips": clips, "pairs": PAIRS, "crop_frames": CROP_FRAMES, "threads": threads},
            "pairs_per_second": {name: asdict(spread) for name, spread in measured.rates.items()},
            "pairloader_is": {
                name: asdict(ratio(measured.rates[OURS], spread)) for name, spread in measured.rates.items()
            },
            "not_measured": measured.missing,
            "contenders": measured.notes,
        }
        page = write_results("loader", "Loader", body, values, PACKAGES, others=measured.versions)
        click.echo(f"written to {page}")


if __name__ == "__main__":
    main()
