"""Memory: a million tracks stay within 2 GiB, and a shard's tracks are held one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

# One shard of so many tracks of half a minute, 1.3 MB each, in a process of its own.
WRITE = """
import re, sys
from pathlib import Path
from sharding.datasets.catalog import Probe, Recording
from sharding.plan import BuildSettings, PlannedShard
from sharding.storage import LocalPlace
from sharding.write import ShardJob, write_shard
folder, tracks = sys.argv[1], int(sys.argv[2])
recordings = tuple(Recording(f"key-{n}", f"song-{n}", "train", (), ("one.wav",)) for n in range(tracks))
shard = PlannedShard("train", 0, recordings, (Probe(30.0, 1),) * tracks, (30.0,) * tracks)
job = ShardJob(LocalPlace(folder), LocalPlace(f"{folder}/shards"), shard, BuildSettings("folder"), {})
assert write_shard(job, lambda _: None).samples == tracks * 661500
print(int(re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024)
"""


def test_a_shard_of_many_tracks_takes_no_more_memory_than_one_of_few(
    tmp_path: Path, music: Callable[..., npt.NDArray[np.float64]], write: Callable[..., Path]
) -> None:
    write(tmp_path / "one.wav", music(30.0, 22050, 1), 22050)

    def peak(tracks: int) -> float:
        command = [sys.executable, "-c", WRITE, str(tmp_path), str(tracks)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert peak(200) - peak(4) < 40  # MiB; the tracks take 247


def test_a_million_tracks_fit_into_two_gibibytes() -> None:
    command = [sys.executable, "-m", "benchmarks.growth", "--tracks", "1000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout.splitlines()[-1])["stages"]
    assert [name for name, _, _ in stages] == ["list", "plan", "receipts", "resume", "index and manifest", "open", "ls"]
    assert max(peak for _, _, peak in stages) < 2048  # MiB
