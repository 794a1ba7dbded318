"""Tables of data sets: quotes and line breaks in cells, long cells, and bytes that are no table."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import SourceError
from sharding.datasets.table import check_width, column, read_rows

CELLS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")), min_size=2, max_size=4)


@given(rows=st.lists(CELLS, min_size=1), delimiter=st.sampled_from(",\t"))
def test_what_a_csv_writer_writes_is_read(rows: list[list[str]], delimiter: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)
    assert [cells for _, cells in read_rows(file.getvalue().encode(), "x.csv", delimiter)] == rows


def test_lines_are_counted_and_a_byte_order_mark_is_no_text() -> None:
    data = b'\xef\xbb\xbfa,b\r\n"1\n2",3\n\n4,5\n'
    assert list(read_rows(data, "x.csv")) == [(1, ["a", "b"]), (3, ["1\n2", "3"]), (5, ["4", "5"])]


def test_long_cells_are_read_and_the_limit_of_others_is_left_alone() -> None:
    before = csv.field_size_limit()
    [(_, cells)] = read_rows(b"a," + b"b" * 200_000, "x.csv")
    assert cells == ["a", "b" * 200_000]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,\xff\n", r"x\.csv after line \d: not UTF-8; download it again"),
        (b'a,b\n1,"2', r"x\.csv line 2: unexpected end of data; download it again"),
    ],
)
def test_bytes_that_are_no_table_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        list(read_rows(data, "x.csv"))


def test_columns_and_widths_are_checked() -> None:
    assert column(["a", "b"], "b", "x.csv") == 1
    with pytest.raises(SourceError, match=r"x\.csv line 1: no column c among 2 \(a, b \.\.\.\)"):
        column(["a", "b"], "c", "x.csv")
    check_width(["1", "2"], ["a", "b"], "x.csv", 7)
    with pytest.raises(SourceError, match=r"x\.csv line 7: 1 cells under 2 columns, as in a half-finished download"):
        check_width(["1"], ["a", "b"], "x.csv", 7)
