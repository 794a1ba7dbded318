"""Which way DALI delivers PairLoader's crops fastest: page-cached shards, tensors in torch, batches dropped at once.

python -m benchmarks.dali_ways            about 4 minutes; writes benchmarks/results/dali-ways-MACHINE.{json,md}
python -m benchmarks.dali_ways --quick    under a minute, for a look; writes nothing
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.corpus import CLIP_SECONDS, CROP_FRAMES, SAMPLE_RATE, write_clips
from benchmarks.report import markdown_table, ratio, write_results
from benchmarks.turns import Contender, Measured, measure
from sharding.build import build
from sharding.plan import BuildSettings

PAIRS = 96  # the paper's batch
SHARD_BYTES = 64 * 2**20
PACKAGES = ("nvidia-dali-cuda130", "torch", "numpy")
KEEP_MEMORY = {"DALI_MALLOC_POOL_THRESHOLD": "1M"}  # as the backend sets it by itself

TORCH, BACKEND = "torch backend", "external_source fed with slabs (the dali backend)"


def contenders(shards: Path) -> list[Contender]:
    """Every way, for a process of its own."""
    common = {"shards": str(shards), "pairs": PAIRS, "crop_frames": CROP_FRAMES}
    ways = {
        BACKEND: ("backend", {}),
        "virtual index, made anew every 8 batches": ("virtual_index", {"batches": 8}),
        "virtual index, made anew every 64 batches": ("virtual_index", {"batches": 64}),
        "virtual index, the same 64 batches again": ("virtual_index", {"batches": 64, "again": True}),
        "external_source, parallel, 1 worker": ("parallel", {"workers": 1}),
        "external_source, parallel, 2 workers": ("parallel", {"workers": 2}),
    }
    return [
        Contender(TORCH, "benchmarks.contenders.ours:pairloader", {**common, "backend": "torch"}),
        *(
            Contender(name, f"benchmarks.contenders.dali_ways:{way}", {**common, **more}, environment=KEEP_MEMORY)
            for name, (way, more) in ways.items()
        ),
    ]


def describe(measured: Measured, clips: int, rounds: int, seconds: float) -> str:
    """The report's text."""
    rates = measured.rates
    rows = []
    for name, spread in rates.items():
        share = ratio(spread, rates[TORCH])
        rows.append(
            [
                name,
                f"{spread.median:,.0f}",
                f"{spread.lowest:,.0f} - {spread.highest:,.0f}",
                f"{share.median:.2f} ({share.lowest:.2f} - {share.highest:.2f})",
            ]
        )
    named: dict[str, list[str]] = {}
    for name, note in measured.notes.items():
        named.setdefault(note, []).append(name)
    notes = "".join(f"- {'; '.join(names)}: {note}\n" for note, names in named.items())
    return (
        f"{markdown_table(['', 'pairs/s', 'lowest - highest', 'of the torch backend'], rows)}\n"
        f"{clips} clips of {CLIP_SECONDS} s at {SAMPLE_RATE} Hz in the page cache, batches of {PAIRS} pairs of "
        f"{CROP_FRAMES} samples, int16, on the CPU. The crops are those of the torch backend, in its order. Median of "
        f"{rounds} rounds of {seconds:g} s in turns, every way in a process of its own that is stopped while it is not "
        "its turn; shares are medians of the rounds' shares. A row that goes through the same batches again is "
        "no loader: it shows what the way costs when nothing is made anew.\n\n"
        "On the CPU DALI copies every batch once more than the torch backend does, whichever way it comes in. "
        f"To a GPU it copies straight from the slabs; that is not measured here.\n\n{notes}"
    )


def main() -> None:
    """Measure every way in turns."""
    quick = "--quick" in sys.argv[1:]
    clips, rounds, seconds = (120, 2, 0.5) if quick else (384, 7, 2.0)
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as folder:
        source, shards = Path(folder) / "clips", Path(folder) / "shards"
        write_clips(source, clips)
        build(source, shards, BuildSettings(dataset="folder", sample_rate=SAMPLE_RATE, shard_size=SHARD_BYTES))
        for tar in (shards / "train").glob("*.tar"):
            tar.read_bytes()  # into the page cache
        measured = measure(contenders(shards), Path(folder), rounds=rounds, seconds=seconds, say=print)
    for name, reason in measured.missing.items():
        print(f"{name}: {reason}")
    body = describe(measured, clips, rounds, seconds)
    print(f"\n{body}")
    if not quick:
        values = {
            "settings": {"clips": clips, "pairs": PAIRS, "crop_frames": CROP_FRAMES},
            "pairs_per_second": {name: asdict(spread) for name, spread in measured.rates.items()},
        }
        print(f"written to {write_results('dali-ways', 'Ways into DALI', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
