"""Shards behind 25 ms: PairLoader by ranges and streaming, against obstore alone and DALI's own S3 reader, in one run.

python -m benchmarks.remote            about 11 minutes; writes benchmarks/results/remote-MACHINE.{json,md}
python -m benchmarks.remote --quick    about a minute, for a look; writes nothing

The server is Ceph's gateway on this machine, seen through benchmarks/delay_proxy.py. Needs radosgw.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.aims import Aim, aim_table, notes_list
from benchmarks.contenders.registry import DALI_ENVIRONMENT, HERE
from benchmarks.corpus import CLIP_SECONDS, CROP_FRAMES, SAMPLE_RATE, write_clips
from benchmarks.report import markdown_table, write_results
from benchmarks.turns import ROOT, Contender, Measured, measure
from sharding.build import build
from sharding.format import open_shards
from sharding.plan import BuildSettings
from tests.servers import ceph

PAIRS = 96  # the paper's batch
DALI_PAIRS = 16  # it would take seconds for the paper's
DALI_BUFFER = 64
SHARD_BYTES = 64 * 2**20
MILLISECONDS = 25.0
STYLES = (
    *(("get_range_async", number) for number in (64, 128, 256, 512)),
    *(("get_range", number) for number in (64, 256)),
    *(("get_ranges_async", number) for number in (8, 32)),
    *((style, number) for style in ("get_range_async joined", "get_range joined") for number in (128, 256)),
)
"""Ways to call obstore, and how many calls are under way."""
FEW_STYLES = (("get_range_async", 256), ("get_range", 256), ("get_range joined", 256))
LINK_CALLS = (4, 8, 16)
PACKAGES = ("torch", "numpy", "obstore", "nvidia-dali-cuda130")
RANGES, STREAM, WARM = "PairLoader ranges", "PairLoader stream, cold", "PairLoader stream, warm"
AIMS = {
    RANGES: (Aim("obstore alone", ("obstore ",), 0.9), Aim("DALI's own S3 reader", ("DALI readers.webdataset",), 20)),
    STREAM: (Aim("the link: obstore alone", ("obstore, whole shards, ",), 0.8),),
}
WITHOUT_A_LINK = (Aim("obstore alone, which neither hashes nor keeps", ("obstore, whole shards, ",), None),)
"""Where the cores are what they share, it is no aim to be as fast as who does less."""


@contextmanager
def delayed(server: str, milliseconds: float, megabytes_per_second: float | None) -> Iterator[str]:
    """The address of the proxy."""
    command = [sys.executable, "-m", "benchmarks.delay_proxy", server, "--milliseconds", str(milliseconds)]
    if megabytes_per_second is not None:
        command += ["--megabytes-per-second", str(megabytes_per_second)]
    # It ends with this process, even where that is killed.
    with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], cwd=ROOT, stdout=subprocess.PIPE) as proxy:
        try:
            assert proxy.stdout
            yield proxy.stdout.readline().decode().strip()
        finally:
            proxy.kill()


def range_contenders(url: str, environment: Mapping[str, str], styles: Sequence[tuple[str, int]]) -> list[Contender]:
    """Pairs per second of crops alone."""
    shards = [f"{url}/{shard.name}" for shard in open_shards(url).manifest.shards]
    settings = {"url": url, "crop_frames": CROP_FRAMES}
    dali: dict[str, Any] = {
        "shards": shards,
        "indexes": [f"{shard.removesuffix('.tar')}.idx" for shard in shards],
        "pairs": DALI_PAIRS,
        "crop_frames": CROP_FRAMES,
        "threads": 4,
        "shuffle_buffer": DALI_BUFFER,
    }
    make = partial(Contender, environment={**environment, **DALI_ENVIRONMENT})
    return [
        make(RANGES, f"{HERE}.ours:pairloader", {"shards": url, "pairs": PAIRS, "access": "ranges"}),
        *(
            make(
                f"obstore {style}, {number}",
                f"{HERE}.obstore_alone:crops",
                {**settings, "style": style, "in_flight": number},
            )
            for style, number in styles
        ),
        make("DALI readers.webdataset", f"{HERE}.dali_stock:whole_members", dali),
    ]


def link_contenders(url: str, environment: Mapping[str, str]) -> list[Contender]:
    """MB per second of whole shards."""
    make = partial(Contender, environment=environment)
    return [
        make(STREAM, f"{HERE}.ours:one_epoch", {"shards": url, "pairs": PAIRS}),
        *(
            make(
                f"obstore, whole shards, {number} in flight",
                f"{HERE}.obstore_alone:whole_shards",
                {"url": url, "in_flight": number},
            )
            for number in LINK_CALLS
        ),
    ]


@dataclass(frozen=True)
class Part:
    """A set of contenders that do the same work."""

    title: str
    unit: str
    measured: Measured
    ours: str | None = None
    """Who is compared with the others."""
    aims: Sequence[Aim] = ()

    def page(self) -> str:
        """Markdown."""
        rows = [
            [name, f"{each.median:,.1f}", f"{each.lowest:,.1f} - {each.highest:,.1f}"]
            for name, each in self.measured.rates.items()
        ]
        missing = [[name, "not measured", reason] for name, reason in self.measured.missing.items()]
        text = f"## {self.title}\n\n{markdown_table(['', self.unit, 'lowest - highest'], [*rows, *missing])}\n"
        if self.ours in self.measured.rates:
            text += f"{aim_table(self.aims, self.measured, self.ours)}\n"
        return text

    def values(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "unit": self.unit,
            "rates": {name: asdict(spread) for name, spread in self.measured.rates.items()},
            "not_measured": self.measured.missing,
        }


def run(
    server: ceph.Ceph, folder: Path, *, milliseconds: float, link: float, rounds: int, seconds: float, few: bool
) -> dict[str, Part]:
    """Build shards from ``folder / "clips"`` in a bucket, and measure everybody.

    Args:
        server: Ceph's gateway; the environment has its address and keys.
        folder: for the clips and the cache.
        milliseconds: that every request waits.
        link: MB/s of the link.
        rounds: turns of each.
        seconds: of a turn where the work has no end.
        few: leave most ways to call obstore out.
    """
    url = f"s3://{server.new_bucket()}/shards"
    build(folder / "clips", url, BuildSettings(dataset="folder", sample_rate=SAMPLE_RATE, shard_size=SHARD_BYTES))
    take_turns = partial(measure, folder=folder, rounds=rounds, seconds=seconds, say=click.echo, freeze=False)
    with delayed(server.endpoint, milliseconds, None) as far:
        environment = {**server.environment(), "AWS_ENDPOINT_URL": far}
        styles = FEW_STYLES if few else STYLES
        by_ranges = take_turns(range_contenders(url, environment, styles), before=seconds / 2, settle=0.3)
        free = take_turns(link_contenders(url, environment), unit="MB/s")
        options = {"shards": url, "pairs": PAIRS, "access": "stream", "cache": str(folder / "cache")}
        cached = Contender(WARM, f"{HERE}.ours:pairloader", options, environment=environment)
        warm = take_turns([cached], before=seconds / 2)
    with delayed(server.endpoint, milliseconds, link) as far:
        environment = {**server.environment(), "AWS_ENDPOINT_URL": far}
        limited = take_turns(link_contenders(url, environment), unit="MB/s")
    return {
        "ranges": Part("Crops by ranges", "pairs/s", by_ranges, RANGES, AIMS[RANGES]),
        "link": Part(f"Whole shards, a link of {link:g} MB/s", "MB/s", limited, STREAM, AIMS[STREAM]),
        "link_unlimited": Part("Whole shards, no limit but this machine", "MB/s", free, STREAM, WITHOUT_A_LINK),
        "warm": Part("The cache full", "pairs/s", warm),
    }


@click.command()
@click.option("--quick", is_flag=True, help="Few clips, short rounds; writes nothing.")
@click.option("--clips", type=click.IntRange(min=PAIRS), help="Clips to make, 384 or with --quick 96.")
@click.option("--rounds", type=click.IntRange(min=1), help="Turns of each contender, 5 or with --quick 1.")
@click.option("--milliseconds", default=MILLISECONDS, show_default=True, help="That every request waits.")
@click.option("--link", default=100.0, show_default=True, help="MB/s of the link for streaming.")
def main(*, quick: bool, clips: int | None, rounds: int | None, milliseconds: float, link: float) -> None:
    """Measure PairLoader on shards in a distant bucket."""
    if not shutil.which("radosgw"):
        raise click.ClickException("radosgw is not installed: apt-get install ceph-mon ceph-osd radosgw")
    clips, rounds, seconds = clips or (96 if quick else 384), rounds or (1 if quick else 5), 1.0 if quick else 3.0
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as name:
        folder = Path(name)
        write_clips(folder / "clips", clips)
        with ceph.running(folder / "ceph") as server:
            os.environ.update(server.environment())
            parts = run(server, folder, milliseconds=milliseconds, link=link, rounds=rounds, seconds=seconds, few=quick)
    body = "".join(part.page() for part in parts.values()) + (
        f"{clips} clips of {CLIP_SECONDS} s at {SAMPLE_RATE} Hz in shards of {SHARD_BYTES >> 20} MiB in Ceph's gateway "
        f"on the same machine, behind a proxy that lets every request wait {milliseconds:g} ms; the server, the proxy "
        f"and the contender share the cores. Batches of {PAIRS} pairs of {CROP_FRAMES} samples, dropped at once (DALI: "
        f"{DALI_PAIRS}, shuffle buffer {DALI_BUFFER}). Median of {rounds} rounds in turns, of {seconds:g} s where they "
        f"have no end; ratios are medians of the rounds' ratios. The fastest way to call obstore is the yardstick.\n\n"
        f"{notes_list(*(part.measured for part in parts.values()))}\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        settings = {"clips": clips, "pairs": PAIRS, "milliseconds": milliseconds, "megabytes_per_second": link}
        values = {"settings": settings, **{key: part.values() for key, part in parts.items()}}
        click.echo(f"written to {write_results('remote', 'Remote shards', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
