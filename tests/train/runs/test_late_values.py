"""Values of a step that are read some steps later are that step's, whatever has become of the tensors since."""

from __future__ import annotations

import math
import mmap
from pathlib import Path

import pytest
import torch

from train import moments
from train.moments import Moment, memory_gib
from train.runs.late_values import LateValues

CPU = torch.device("cpu")


def test_read_when_due_and_not_before() -> None:
    late: LateValues[str] = LateValues(CPU, read_after=5)
    loss = torch.tensor(0.5)
    late.ask(10, {"loss": loss, "accuracy": torch.tensor(0.25, dtype=torch.float64)}, "ten")
    loss.fill_(7)  # the device goes on and uses its memory again
    late.ask(12, {"loss": torch.tensor(2.0)}, "twelve")
    assert not list(late.due(14))
    (reading,) = late.due(15)
    assert (reading.step, reading.values, reading.note) == (10, {"loss": 0.5, "accuracy": 0.25}, "ten")
    assert not list(late.due(16))
    late.ask(20, {"loss": torch.tensor(math.nan)}, "twenty")
    assert [reading.step for reading in late.rest()] == [12, 20]
    assert not list(late.rest())


def test_moments_follow_each_other() -> None:
    first = Moment(CPU)
    second = Moment(CPU)
    second.wait()
    assert second.seconds_since(first) >= 0 >= first.seconds_since(second)


def test_resident_memory_grows_with_what_is_held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = memory_gib(CPU)
    held = mmap.mmap(-1, 2**28)  # of its own: freed blocks of this process would be used again for a tensor
    for _ in range(2**8):
        held.write(b"x" * 2**20)
    resident = memory_gib(CPU)
    assert resident - before == pytest.approx(0.25, abs=0.05)
    monkeypatch.setattr(moments, "STATM", tmp_path / "none")  # a system without /proc tells the most it ever was
    assert memory_gib(CPU) >= resident - 0.05
    held.close()
