"""Clips per second from recordings to shards, against one ffmpeg process per file, on the same files in one run.

python -m benchmarks.sharder            about 7 minutes; writes benchmarks/results/sharder-MACHINE.{json,md}
python -m benchmarks.sharder --quick    about a minute, for a look; writes nothing
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import click

from benchmarks.clips import KINDS, MTAT, PREVIEW, SECONDS, write_clip, write_corpus
from benchmarks.report import Spread, markdown_table, ratio, write_results
from sharding.decode import decode
from sharding.ffmpeg import ffmpeg_version

SAMPLE_RATE = 22050  # Hz
RATES = (22050, 16000, 8000)
CORPORA = {"as the Million Song Dataset's": PREVIEW, "as MagnaTagATune's": MTAT}
SONGS = 24
FEW = 4  # clips of a build that is all start-up
PACKAGES = ("soundfile", "soxr", "numpy")

Rates = Mapping[tuple[str, int], Spread]
"""Clips per second of each contender with a number of jobs."""
BUILD, WHOLE, FFMPEG, ALONE = "build", "build with start-up", "ffmpeg per file", "decode alone"
BUILD_TIMES = {
    "ffmpeg per file, 2 jobs": ((BUILD, 2), (FFMPEG, 2), 3.0),
    "itself with 1 job, with 2": ((BUILD, 2), (BUILD, 1), 1.8),
    "decode alone, 1 job": ((BUILD, 1), (ALONE, 1), 0.8),
    "decode alone, 2 jobs": ((BUILD, 2), (ALONE, 2), 0.8),
}
"""What the build is compared with: its own figure, the other's, and the aim."""


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
        list(pool.map(samples_of, paths, chunksize=4))
        return time.perf_counter() - start


def measure(folder: Path, paths: Sequence[Path], few: Path) -> dict[tuple[str, int], float]:
    """Clips per second of every contender, once."""
    out, clips = folder / "out", len(paths)
    seconds = {}
    for jobs in (1, 2):
        seconds[WHOLE, jobs] = build_seconds(paths[0].parent, out, jobs)
        # What a build of a few clips takes is start-up: nothing beside a corpus of hours, much beside this one.
        rest = seconds[WHOLE, jobs] - build_seconds(few, out, jobs)
        seconds[BUILD, jobs] = rest * clips / (clips - FEW)
        seconds[ALONE, jobs] = decode_seconds(paths, jobs)
    seconds[FFMPEG, 2] = ffmpeg_seconds(paths, out, 2)
    return {key: clips / taken for key, taken in sorted(seconds.items())}


def measure_corpora(folder: Path, clips: int, rounds: int) -> dict[str, Rates]:
    """Every corpus and contender, taking turns."""
    corpora = {
        name: (write_corpus(folder / str(number), kind, clips, SONGS), folder / f"few {number}")
        for number, (name, kind) in enumerate(CORPORA.items())
    }
    for name, (_, few) in corpora.items():
        write_corpus(few, CORPORA[name], FEW, FEW)
    found: dict[str, list[dict[tuple[str, int], float]]] = {name: [] for name in corpora}
    for number in range(rounds):
        for name, (paths, few) in corpora.items():
            found[name].append(measure(folder, paths, few))
            for (contender, jobs), rate in found[name][-1].items():
                click.echo(f"round {number + 1} of {rounds}: {name}, {contender}, {jobs} jobs: {rate:.1f} clips/s")
    return {
        name: {key: Spread.of([measured[key] for measured in several]) for key in several[0]}
        for name, several in found.items()
    }


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


def page(corpora: Mapping[str, Rates], kinds: Sequence[Sequence[str]], clips: int, rounds: int, repeats: int) -> str:
    """The results as Markdown."""
    rates = [
        [f"{name}: {contender}", str(jobs), f"{each.median:.1f}", f"{each.lowest:.1f} - {each.highest:.1f}"]
        for name, found in corpora.items()
        for (contender, jobs), each in found.items()
    ]
    aims = []
    for name, found in corpora.items():
        for what, (ours, other, aim) in BUILD_TIMES.items():
            times = ratio(found[ours], found[other])
            verdict = "met" if times.median >= aim else "missed"
            spread = f"{times.lowest:.2f} - {times.highest:.2f}"
            aims.append([f"{name}: {what}", f"{times.median:.2f}x", spread, f"{aim}x", verdict])
    return (
        markdown_table(["clips", "jobs", "clips/s", "lowest - highest"], rates)
        + "\n"
        + markdown_table(["clips: the build against", "it is", "lowest - highest", "aim", ""], aims)
        + "\n"
        + markdown_table(["one clip", "to Hz", "read by", "ms", "ffmpeg process, ms", "ratio"], kinds)
        + f"\n{clips} clips of {SECONDS} s of {SONGS} songs, in the page cache, to mono at {SAMPLE_RATE} Hz: "
        + ", ".join(f"{name} {kind.name}" for name, kind in CORPORA.items())
        + f". Median of {rounds} rounds in turns; ratios are medians of the rounds' ratios.\n\n"
        f"- {BUILD}: `python -m sharding build folder`, less what it takes for {FEW} clips\n"
        f"- {WHOLE}: the same from start to end\n"
        f"- {ALONE}: reading and decoding in as many processes, already started; nothing is hashed or written\n"
        f"- {FFMPEG}: `ffmpeg -i clip.mp3 -ar {SAMPLE_RATE} clip.wav`, the official code's command, with `-ac 1`, as "
        f"many at a time\n\nThe formats were measured with one process, median of {repeats}. {ffmpeg_version()}.\n"
    )


@click.command()
@click.option("--quick", is_flag=True, help="Few clips, one round; writes nothing.")
def main(*, quick: bool) -> None:
    """Measure the sharder against one ffmpeg process per file, and against its own decoding."""
    clips, rounds, repeats = (60, 1, 5) if quick else (240, 5, 25)
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as name:
        corpora = measure_corpora(Path(name), clips, rounds)
        kinds = measure_kinds(Path(name), repeats)
    body = page(corpora, kinds, clips, rounds, repeats)
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "settings": {"clips": clips, "seconds": SECONDS, "sample_rate": SAMPLE_RATE, "ffmpeg": ffmpeg_version()},
            "clips_per_second": {
                corpus: {f"{contender}, {jobs} jobs": asdict(spread) for (contender, jobs), spread in rates.items()}
                for corpus, rates in corpora.items()
            },
            "build_is": {
                corpus: {
                    what: {**asdict(ratio(rates[a], rates[b])), "aim": aim} for what, (a, b, aim) in BUILD_TIMES.items()
                }
                for corpus, rates in corpora.items()
            },
            "formats": kinds,
        }
        click.echo(f"written to {write_results('sharder', 'Sharder', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
