"""The allocator setting is taken where there is glibc."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from clmr import memory

FAULTS = """
import resource, sys, torch
if sys.argv[1] == "keep":
    from clmr.memory import keep_freed_memory
    assert keep_freed_memory()
def make(): return torch.ones(64 * 2**20 // 4).sum()
for _ in range(20): make()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): make()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=plain).stdout)


def test_freed_memory_is_used_again() -> None:
    """20 tensors of 16,384 pages: mapped anew each time without the call, once with it."""
    assert page_faults("keep") < page_faults("plain") / 4


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not memory.keep_freed_memory()
