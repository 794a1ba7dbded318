"""Results say what they are worth: round by round, with machine, versions, date and command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import Spread, markdown_table, ratio, this_machine, write_results


def test_ratios_are_taken_round_by_round() -> None:
    ours, theirs = Spread.of([10.0, 20.0, 60.0]), Spread.of([5.0, 20.0, 20.0])
    assert ratio(ours, theirs) == Spread(2.0, 1.0, 3.0, (2.0, 1.0, 3.0))


def test_results_name_machine_versions_date_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/benchmarks/loader.py", "--threads", "2"])
    table = markdown_table(["", "pairs/s"], [["PairLoader", "1"]])
    page = write_results(
        "loader",
        "Loader",
        table,
        {"rates": {"PairLoader": 1.0}},
        ["numpy", "no-such-package"],
        tmp_path,
        {"other": "1.2"},
    )
    assert page.name == f"loader-{this_machine().slug}.md"
    values = json.loads(page.with_suffix(".json").read_text())
    assert values["rates"] == {"PairLoader": 1.0}
    assert values["versions"] == {"numpy": np.__version__, "no-such-package": "not installed", "other": "1.2"}
    assert values["machine"]["cores"] >= 1
    text = page.read_text()
    for expected in (values["machine"]["cpu"], values["date"], f"numpy {np.__version__}", "| PairLoader | 1 |"):
        assert expected in text
    assert values["command"] == "python -m benchmarks.loader --threads 2"
    assert "/somewhere" not in text
