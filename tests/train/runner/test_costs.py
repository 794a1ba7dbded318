"""What commands cost is noted beside their results; failed tries count, and a line that was cut off does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.train.runner.small_stages import WORKS, stage, unit
from train.runner.costs import COSTS, Cost, Meter, costs_of, note_cost
from train.runner.execution import execute

BUSY = "import time; end = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"


def test_every_command_of_a_unit_leaves_its_seconds(tmp_path: Path) -> None:
    both = unit(stage(tmp_path / "one" / "first", BUSY + WORKS), stage(tmp_path / "one" / "second", WORKS))
    assert execute([both]) == []
    first, second = costs_of([tmp_path / "one"])
    assert (first.stage, second.stage) == ("first", "second")
    assert first.cpu_seconds >= 0.4
    assert first.seconds >= 0.4
    assert second.cpu_seconds < first.cpu_seconds
    assert execute([both]) == []  # finished: nothing ran, nothing was paid
    assert len(costs_of([tmp_path / "one"])) == 2


def test_what_a_failure_cost_counts_too(tmp_path: Path) -> None:
    assert len(execute([unit(stage(tmp_path / "one" / "bad", BUSY + "raise SystemExit(3)"))])) == 1
    (cost,) = costs_of([tmp_path / "one"])
    assert cost.cpu_seconds >= 0.4


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    note_cost(tmp_path, Cost("training", 2.0, 1.5))
    with (tmp_path / COSTS).open("a") as file:
        file.write('{"stage": "embed')
    assert costs_of([tmp_path, tmp_path / "nowhere"]) == [Cost("training", 2.0, 1.5)]


def test_the_meter_starts_at_its_making() -> None:
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert Meter().cost("nothing").cpu_seconds < 0.1
