"""What a killed run leaves counts when it is whole and belongs to the same run, and not otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.embedding.decoding import Outcome
from train.embedding.progress import Progress, forget, journal_path, read_journal, rows_path

RUN = {"run": "this"}
DONE = [Outcome(100, 2), Outcome(fault="empty"), Outcome(50, 1)]
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Three files are done, and a fourth has a row."""
    with Progress(tmp_path, 1, 4, RUN) as progress:
        progress.write(ROWS[:2])
        progress.settle(DONE[0])
        progress.settle(DONE[1])
        progress.write(ROWS[2:])
        progress.settle(DONE[2])
        progress.write(ROWS[:1])
    return tmp_path


def test_going_on(left: Path) -> None:
    with Progress(left, 1, 4, RUN) as progress:
        assert progress.done == DONE
        assert progress.rows == 3
        progress.write(ROWS[:2])
        progress.settle(Outcome(80, 2))
    np.testing.assert_array_equal(np.fromfile(rows_path(left, 1), "<f4").reshape(-1, 4), [*ROWS, *ROWS[:2]])
    assert read_journal(left, 1, RUN) == [*DONE, Outcome(80, 2)]


def test_half_a_line_is_none(left: Path) -> None:
    text = journal_path(left, 1).read_text()
    journal_path(left, 1).write_text(text[:-3])
    with Progress(left, 1, 4, RUN) as progress:
        assert progress.done == DONE[:2]
        assert progress.rows == 2
    assert read_journal(left, 1, RUN) == DONE[:2]


def test_what_belongs_to_no_such_run(left: Path) -> None:
    with Progress(left, 1, 4, {"run": "another"}) as progress:
        assert progress.done == []
        assert progress.rows == 0
    assert rows_path(left, 1).stat().st_size == 0


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"{\n", b'{"run": "this"}\n{"frames": 3, "what": 1}\n'])
def test_a_damaged_journal(left: Path, damage: bytes) -> None:
    journal_path(left, 1).write_bytes(damage)
    with Progress(left, 1, 4, RUN) as progress:
        assert progress.done == []


def test_rows_that_are_missing(left: Path) -> None:
    with rows_path(left, 1).open("r+b") as file:
        file.truncate(2 * 16)
    with Progress(left, 1, 4, RUN) as progress:
        assert progress.done == []


def test_dropping_rows(left: Path) -> None:
    with Progress(left, 1, 4, RUN) as progress:
        progress.write(ROWS)
        progress.cut(4)
        progress.write(ROWS[1:2])
    np.testing.assert_array_equal(np.fromfile(rows_path(left, 1), "<f4").reshape(-1, 4), [*ROWS, ROWS[0], ROWS[1]])


def test_nothing_is_left_behind(left: Path) -> None:
    forget(left)
    assert not list(left.iterdir())
