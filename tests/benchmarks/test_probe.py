"""The probe's benchmark runs, and judges speed and score by what was measured."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.contenders.probing import fast, one_vs_rest
from benchmarks.probe import JOBS, OURS, SMALL, THREADED, Result, contenders, part
from benchmarks.report import Spread
from benchmarks.turns import Measured


def test_both_fit_a_small_problem(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    assert fast(SMALL.arguments, str(ours), torch.get_num_threads())() > 0
    assert one_vs_rest(SMALL.arguments, str(theirs), None)() > 0
    found, expected = (json.loads(note.read_text("utf-8"))["score"] for note in (ours, theirs))
    # The tags are linear in the features up to noise, and both find that; ours may choose the strength.
    assert 0.4 < expected <= found < 1


def test_contenders_are_those_of_the_aims(tmp_path: Path) -> None:
    for cores, names in ((1, [OURS, THREADED]), (2, [OURS, THREADED, JOBS])):
        listed = contenders(SMALL, tmp_path, cores)
        assert [each.name for each in listed] == names
        for each in listed:
            module, _, function = each.target.partition(":")
            assert callable(getattr(import_module(module), function))
            assert len({other.settings["note"] for other in listed}) == len(listed)


def test_speed_and_score_are_judged() -> None:
    rates = {name: Spread.of([rate, rate]) for name, rate in ((OURS, 30.0), (THREADED, 5.0), (JOBS, 10.0))}
    notes = {
        OURS: {"score": 0.61, "penalty": 0.03, "penalties_tried": 6},
        THREADED: {"score": 0.62, "iterations": 30.0},
        JOBS: {"score": 0.62, "iterations": 30.0},
    }
    text = part(Result(SMALL, Measured(rates, {}, {}, {}), notes))
    assert "| probe, preset fast | 2.00 | 2.00 - 2.00 | 0.6100 |" in text
    assert f"| {JOBS} | 3.00x | 3.00 - 3.00 | 4x | missed |" in text
    assert "no worse than scikit-learn's: missed, -0.0100" in text
