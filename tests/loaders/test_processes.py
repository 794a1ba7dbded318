"""Real processes: two that share the batches, and one that is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from loaders import PairLoader
from tests.loaders.small_shards import CROP

TWO_RANKS = """
import os, sys
import numpy as np
from loaders import PairLoader

rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
with PairLoader(sys.argv[1], batch_size=8, crop_frames=int(sys.argv[2]), rank=rank, world_size=world_size) as loader:
    batches = [batch for _ in range(2) for batch in loader]
    np.savez(f"{sys.argv[3]}/{rank}.npz", **{
        name: np.stack([getattr(batch, name).numpy() for batch in batches]) for name in ("pcm", "keys", "track")
    })
"""

FOREVER = """
import sys
from clmr.errors import one_line_errors
from loaders import PairLoader

@one_line_errors()
def main():
    loader = PairLoader(sys.argv[1], batch_size=8, crop_frames=int(sys.argv[2]), threads=2)
    print("ready", flush=True)
    while True:
        for batch in loader:
            pass

main()
"""


def test_two_processes_join_to_the_batches_of_one(shards: Path, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = tmp_path / "two_ranks.py"
    script.write_text(TWO_RANKS)
    subprocess.run([sys.executable, *launch, script, shards, str(CROP), tmp_path], check=True, capture_output=True)
    ranks = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as loader:
        batches = [batch for _ in range(2) for batch in loader]
    for name in ("pcm", "keys", "track"):
        whole = np.stack([getattr(batch, name).numpy() for batch in batches])
        joined = np.concatenate([rank[name] for rank in ranks], axis=1)
        assert joined.tobytes() == whole.tobytes()


def test_interrupt_ends_quickly(shards: Path) -> None:
    command = [sys.executable, "-c", FOREVER, str(shards), str(CROP)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "interrupted; run the same command again to go on\n"
