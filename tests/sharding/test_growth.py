"""A million tracks: planning, resuming, index, manifest and listing stay within memory."""

from __future__ import annotations

import json
import subprocess
import sys


def test_a_million_tracks_fit_into_two_gibibytes() -> None:
    command = [sys.executable, "-m", "benchmarks.growth", "--tracks", "1000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout.splitlines()[-1])["stages"]
    assert [name for name, _, _ in stages] == ["list", "plan", "receipts", "resume", "index and manifest", "open", "ls"]
    assert max(peak for _, _, peak in stages) < 2048  # MiB
