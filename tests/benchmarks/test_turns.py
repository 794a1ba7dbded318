"""Contenders take turns: one at a time, and who cannot be measured is named with the reason."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.aims import Aim, aim_table, fastest, notes_list
from benchmarks.report import Spread
from benchmarks.turns import Contender, ContenderError, Measured, measure, prepare

HERE = "tests.benchmarks.made_up"


def children() -> dict[int, str]:
    """State of every process that this one started and that still is, ``T`` for stopped."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = entry.read_text().rsplit(")", 1)
        except OSError:
            continue
        state, parent = fields.split()[:2]
        if int(parent) == os.getpid() and state != "Z":
            found[int(name.split()[0])] = state
    return found


def test_contenders_take_turns(tmp_path: Path) -> None:
    before = set(children())
    said: list[str] = []
    states: list[set[str]] = []

    def say(text: str) -> None:
        said.append(text)
        states.append({state for process, state in children().items() if process not in before})

    contenders = [
        Contender("slow", f"{HERE}:steady", {"amount": 1}),
        Contender("fast", f"{HERE}:steady", {"amount": 1000}),
        Contender("pieces", f"{HERE}:pieces", {"wrong": False}),
        Contender("torn", f"{HERE}:ends_soon", {}),
        Contender("wrong", f"{HERE}:pieces", {"wrong": True}),
        Contender("absent", f"{HERE}:absent", {}),
    ]
    measured = measure(contenders, tmp_path, rounds=2, seconds=0.02, say=say)
    assert list(measured.rates) == ["slow", "fast", "pieces"]
    assert [len(spread.rounds) for spread in measured.rates.values()] == [2, 2, 2]
    assert measured.rates["fast"].median > measured.rates["slow"].median
    assert measured.missing["torn"] == "ValueError: the tape"
    assert measured.missing["wrong"] == "ValueError: a crop is no piece of a clip"
    assert measured.missing["absent"] == "ModuleNotFoundError: No module named 'no_such_library'"
    assert measured.notes["slow"] == "So much every millisecond, at most."
    assert measured.versions["numpy"]
    assert len(said) == 7
    assert states[0] == {"T"}, "while one is measured, the others are stopped"
    assert set(children()) == before


def test_work_that_has_an_end(tmp_path: Path) -> None:
    measured = measure(
        [Contender("work", f"{HERE}:work", {})], tmp_path, rounds=1, seconds=0.01, say=lambda _: None, freeze=False
    )
    assert measured.rates["work"].median == 12.5


def test_preparation(tmp_path: Path) -> None:
    prepare(Contender("nothing", f"{HERE}:nothing", {"word": "much"}), tmp_path)
    with pytest.raises(ContenderError, match="no_such_library"):
        prepare(Contender("absent", f"{HERE}:absent", {}), tmp_path)
    with pytest.raises(ContenderError, match="unexpected keyword"):
        prepare(Contender("nothing", f"{HERE}:nothing", {"world": "much"}, sys.executable), tmp_path)


def test_the_fastest_of_the_others_decides() -> None:
    rates = {name: Spread.of([rate, 2 * rate]) for name, rate in (("ours", 20.0), ("a, 0", 2.0), ("a, 2", 4.0))}
    measured = Measured(rates, {"b": "it is not installed"}, {"a, 0": "so", "a, 2": "so", "ours": "thus"}, {})
    assert fastest(("a, ",), measured) == "a, 2"
    assert fastest(("a",), measured) is None
    aims = (
        Aim("library a", ("a, ",), 5),
        Aim("its slower way", ("a, 0",), 11),
        Aim("c", ("b",), 2),
        Aim("-", ("a, ",), None),
    )
    lines = aim_table(aims, measured, "ours").splitlines()[2:]
    assert lines == [
        "| library a | a, 2 | 5.00x | 5.00 - 5.00 | 5x | met |",
        "| its slower way | a, 0 | 10.00x | 10.00 - 10.00 | 11x | missed |",
        "| c |  | not measured |  | 2x | not measured |",
        "| - | a, 2 | 5.00x | 5.00 - 5.00 |  |  |",
    ]
    assert notes_list(measured, measured) == "- a, 0; a, 2: so\n- ours: thus\n"
