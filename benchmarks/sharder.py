"""Clips per second from recordings to shards, against one ffmpeg process per file, on the same files in one run.

python -m benchmarks.sharder            about 6 minutes; writes benchmarks/results/sharder-MACHINE.{json,md}
python -m benchmarks.sharder --quick    about a minute, for a look; writes nothing
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import click

from benchmarks.clips import KINDS, PREVIEW, SECONDS, write_clip, write_corpus
from benchmarks.report import Spread, markdown_table, ratio, write_results
from sharding.decode import decode
from sharding.ffmpeg import ffmpeg_version

SAMPLE_RATE = 22050  # Hz
RATES = (22050, 16000, 8000)
JOBS = (1, 2)
DISTINCT = 24  # pieces of music among the clips
FEW = 2 * max(JOBS)  # clips of a build that is all start-up
PACKAGES = ("soundfile", "soxr", "numpy")
BUILD, WHOLE, FFMPEG, ALONE = "build", "build with start-up", "ffmpeg per file", "decode alone"


def build_seconds(source: Path, out: Path, jobs: int) -> float:
    """The command, start-up included."""
    command = [sys.executable, "-m", "sharding", "build", "folder", "--source", str(source), "--out", str(out)]
    start = time.perf_counter()
    subprocess.run([*command, "--jobs", str(jobs)], check=True, capture_output=True)
    taken = time.perf_counter() - start
    shutil.rmtree(out)
    return taken


def ffmpeg_seconds(paths: Sequence[Path], out: Path, jobs: int) -> float:
    """The official code's command for every file, ``jobs`` at a time.

    Plus ``-ac 1``, without which stereo stays stereo, and ``-nostdin``, without which they fight for the terminal.
    """
    out.mkdir()

    def convert(path: Path) -> None:
        to_wav = ["-i", str(path), "-ar", str(SAMPLE_RATE), "-ac", "1", str(out / f"{path.stem}.wav")]
        subprocess.run(["ffmpeg", "-nostdin", *to_wav, "-loglevel", "quiet"], check=True)

    with ThreadPoolExecutor(jobs) as pool:
        start = time.perf_counter()
        list(pool.map(convert, paths))
        taken = time.perf_counter() - start
    shutil.rmtree(out)
    return taken


def samples_of(path: Path) -> int:
    """Read and decode a file; nothing is written."""
    return len(decode(path.read_bytes(), SAMPLE_RATE).pcm)


def decode_seconds(paths: Sequence[Path], jobs: int) -> float:
    """Decoding alone, in processes that are up and running."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        list(pool.map(samples_of, paths[: 4 * jobs]))
        start = time.perf_counter()
        list(pool.map(samples_of, paths, chunksize=8))
        return time.perf_counter() - start


def measure(folder: Path, clips: int, rounds: int) -> dict[tuple[str, int], Spread]:
    """Clips per second of every contender with every number of jobs, taking turns."""
    paths = write_corpus(folder / "clips", clips, DISTINCT)
    write_corpus(folder / "few", FEW, FEW)
    out = folder / "out"
    rates: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        for jobs in JOBS:
            whole = build_seconds(folder / "clips", out, jobs)
            start_up = build_seconds(folder / "few", out, jobs)
            seconds = {
                # What a build of a few clips takes is start-up; in a corpus of any size it is nothing.
                (BUILD, jobs): (whole - start_up) * clips / (clips - FEW),
                (WHOLE, jobs): whole,
                (ALONE, jobs): decode_seconds(paths, jobs),
                (FFMPEG, jobs): ffmpeg_seconds(paths, out, jobs),
            }
            for key, taken in seconds.items():
                rates.setdefault(key, []).append(clips / taken)
                click.echo(f"round {number + 1} of {rounds}: {key[0]:<20} {jobs} jobs {clips / taken:>8.1f} clips/s")
    return {key: Spread.of(measured) for key, measured in rates.items()}


def milliseconds(action: Callable[[], object]) -> float:
    """What one call takes."""
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


def measure_kinds(folder: Path, repeats: int) -> list[list[str]]:
    """By format and sample rate: milliseconds for a clip in this process, and in an ffmpeg process."""
    rows = []
    for kind in KINDS:
        path = write_clip(folder / f"kind{kind.suffix}", kind, 0)
        data = path.read_bytes()
        for rate in RATES if kind is PREVIEW else RATES[:1]:
            command = ["ffmpeg", "-nostdin", "-v", "quiet", "-y", "-i", str(path), "-ar", str(rate), "-ac", "1"]
            ours, theirs = [], []
            for _ in range(repeats):
                ours.append(milliseconds(partial(decode, data, rate)))
                theirs.append(milliseconds(partial(subprocess.run, [*command, str(folder / "kind.wav")], check=True)))
            mine, other = Spread.of(ours), Spread.of(theirs)
            by = decode(data, rate).decoder.split(" ")[0] or "libsndfile"
            cells = [f"{mine.median:.1f}", f"{other.median:.1f}", f"{ratio(other, mine).median:.1f}x"]
            rows.append([kind.name, f"{rate:,}", by, *cells])
    return rows


def aims(rates: dict[tuple[str, int], Spread]) -> dict[str, tuple[Spread, float]]:
    """What was to be reached: the ratio measured, and the aim."""
    few, many = JOBS
    return {
        f"against ffmpeg, {many} jobs each": (ratio(rates[BUILD, many], rates[FFMPEG, many]), 3.0),
        f"against ffmpeg, {few} job each": (ratio(rates[BUILD, few], rates[FFMPEG, few]), 3.0),
        f"from {few} to {many} jobs": (ratio(rates[BUILD, many], rates[BUILD, few]), 1.8),
        f"of decode alone, {many} jobs": (ratio(rates[BUILD, many], rates[ALONE, many]), 0.8),
        f"of decode alone, {few} job": (ratio(rates[BUILD, few], rates[ALONE, few]), 0.8),
    }


@click.command()
@click.option("--quick", is_flag=True, help="Few clips, few rounds; writes nothing.")
def main(*, quick: bool) -> None:
    """Measure the sharder against one ffmpeg process per file, and against its own decoding."""
    clips, rounds, repeats = (96, 1, 5) if quick else (320, 5, 25)
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as name:
        rates = measure(Path(name), clips, rounds)
        kinds = measure_kinds(Path(name), repeats)
    reached = aims(rates)
    table = markdown_table(
        ["", "jobs", "clips/s", "lowest - highest", "build is"],
        [
            [
                contender,
                str(jobs),
                f"{spread.median:.1f}",
                f"{spread.lowest:.1f} - {spread.highest:.1f}",
                f"{ratio(rates[BUILD, jobs], spread).median:.2f}x",
            ]
            for (contender, jobs), spread in rates.items()
        ],
    )
    goals = markdown_table(
        ["build", "measured", "lowest - highest", "aim", ""],
        [
            [
                what,
                f"{spread.median:.2f}",
                f"{spread.lowest:.2f} - {spread.highest:.2f}",
                f"{aim:.1f}",
                "met" if spread.median >= aim else "missed",
            ]
            for what, (spread, aim) in reached.items()
        ],
    )
    formats = markdown_table(["one clip", "to Hz", "read by", "ms", "ffmpeg process, ms", "ratio"], kinds)
    body = (
        f"{table}\n{goals}\n{formats}\n"
        f"{clips} clips of {SECONDS} s, {PREVIEW.name}, {DISTINCT} pieces of music, in the page cache, to mono at "
        f"{SAMPLE_RATE} Hz. Median of {rounds} rounds in turns; ratios are medians of the rounds' ratios.\n\n"
        f"- {BUILD}: `python -m sharding build folder`, less what it takes for {FEW} clips\n"
        f"- {WHOLE}: the same from start to end\n"
        f"- {ALONE}: reading and decoding in as many processes, already started; nothing is hashed or written\n"
        f"- {FFMPEG}: `ffmpeg -i clip.mp3 -ar {SAMPLE_RATE} clip.wav`, the official code's command, with `-ac 1`, as "
        "many at a time\n\n"
        f"The formats were measured with one process, median of {repeats}. {ffmpeg_version()}.\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "settings": {"clips": clips, "seconds": SECONDS, "sample_rate": SAMPLE_RATE, "ffmpeg": ffmpeg_version()},
            "clips_per_second": {f"{name}, {jobs} jobs": asdict(spread) for (name, jobs), spread in rates.items()},
            "build": {what: {**asdict(spread), "aim": aim} for what, (spread, aim) in reached.items()},
            "formats": kinds,
        }
        click.echo(f"written to {write_results('sharder', 'Sharder', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
