"""Shards behind 25 ms: PairLoader by ranges and by streaming, against obstore alone and DALI's own S3 reader, in one run.

python -m benchmarks.remote            about 6 minutes; writes benchmarks/results/remote-MACHINE.{json,md}
python -m benchmarks.remote --quick    about 2 minutes, for a look; writes nothing

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
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.aims import Aim, aim_table
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
)
"""Ways to call obstore, and how many calls are under way."""
FEW_STYLES = (("get_range_async", 256), ("get_range", 256))
LINK_CALLS = (4, 8, 16)
PACKAGES = ("torch", "numpy", "obstore", "nvidia-dali-cuda130")
RANGES, STREAM, WARM = "PairLoader ranges", "PairLoader stream, cold", "PairLoader stream, warm"
AIMS = {
    RANGES: (Aim("obstore alone", ("obstore ",), 0.9), Aim("DALI's own S3 reader", ("DALI readers.webdataset",), 20)),
    STREAM: (Aim("the link: obstore alone", ("obstore, whole shards, ",), 0.8),),
}


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


def table(measured: Measured, unit: str) -> str:
    """Rates as Markdown."""
    rows = [
        [name, f"{each.median:,.1f}", f"{each.lowest:,.1f} - {each.highest:,.1f}"]
        for name, each in measured.rates.items()
    ]
    missing = [[name, "not measured", reason] for name, reason in measured.missing.items()]
    return markdown_table(["", unit, "lowest - highest"], [*rows, *missing])


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
        (folder / "ceph").mkdir()
        write_clips(folder / "clips", clips)
        with ceph.running(folder / "ceph") as server:
            os.environ.update(server.environment())
            url = f"s3://{server.new_bucket()}/shards"
            settings = BuildSettings(dataset="folder", sample_rate=SAMPLE_RATE, shard_size=SHARD_BYTES)
            build(folder / "clips", url, settings)
            take_turns = partial(measure, folder=folder, rounds=rounds, seconds=seconds, say=click.echo, freeze=False)
            with delayed(server.endpoint, milliseconds, None) as far:
                environment = {**server.environment(), "AWS_ENDPOINT_URL": far}
                by_ranges = take_turns(
                    range_contenders(url, environment, FEW_STYLES if quick else STYLES), before=seconds / 2, settle=0.3
                )
                free = take_turns(link_contenders(url, environment), unit="MB/s")
                options = {"shards": url, "pairs": PAIRS, "access": "stream", "cache": str(folder / "cache")}
                warm = take_turns(
                    [Contender(WARM, f"{HERE}.ours:pairloader", options, environment=environment)], before=seconds / 2
                )
            with delayed(server.endpoint, milliseconds, link) as far:
                environment = {**server.environment(), "AWS_ENDPOINT_URL": far}
                limited = take_turns(link_contenders(url, environment), unit="MB/s")
    parts = {
        "ranges": ("Crops by ranges", by_ranges, "pairs/s", RANGES),
        "link": (f"Whole shards, a link of {link:g} MB/s", limited, "MB/s", STREAM),
        "link_unlimited": ("Whole shards, no limit but this machine", free, "MB/s", STREAM),
        "warm": ("The cache full", warm, "pairs/s", None),
    }
    body = ""
    for title, measured, unit, ours in parts.values():
        body += f"## {title}\n\n{table(measured, unit)}\n"
        if ours is not None and ours in measured.rates:
            body += f"{aim_table(AIMS[ours], measured, ours)}\n"
    notes = {text: name for _, measured, _, _ in parts.values() for name, text in measured.notes.items()}
    body += (
        f"{clips} clips of {CLIP_SECONDS} s at {SAMPLE_RATE} Hz in shards of {SHARD_BYTES >> 20} MiB in Ceph's gateway on "
        f"the same machine, behind a proxy that lets every request wait {milliseconds:g} ms; the server, the proxy and "
        f"the contender share the cores. Batches of {PAIRS} pairs of {CROP_FRAMES} samples, dropped at once (DALI: "
        f"{DALI_PAIRS}, shuffle buffer {DALI_BUFFER}). Median of {rounds} rounds in turns, of {seconds:g} s where they "
        f"have no end; ratios are medians of the rounds' ratios. The fastest way to call obstore is the yardstick.\n\n"
        + "".join(f"- {name}: {text}\n" for text, name in notes.items())
        + "\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "settings": {"clips": clips, "pairs": PAIRS, "milliseconds": milliseconds, "megabytes_per_second": link},
            **{
                key: {
                    "unit": unit,
                    "rates": {name: asdict(spread) for name, spread in measured.rates.items()},
                    "not_measured": measured.missing,
                }
                for key, (_, measured, unit, _) in parts.items()
            },
        }
        click.echo(f"written to {write_results('remote', 'Remote shards', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
