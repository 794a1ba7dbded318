"""Numbers as people read them."""

from __future__ import annotations

import pytest

from sharding.page import units


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (units.some(1, "song"), "1 song"),
        (units.some(2000, "song"), "2,000 songs"),
        (units.size(0), "0 B"),
        (units.size(999), "999 B"),
        (units.size(1000), "0.977 KiB"),
        (units.size(38 * 2**20 + 2**19), "38.5 MiB"),
        (units.size(3 * 2**40), "3 TiB"),
        (units.size(5000 * 2**40), "5000 TiB"),
        (units.hours(8316), "2.31"),
        (units.hours(3600 * 1024.4), "1,024"),
        (units.clock(29.14), "29.1 s"),
        (units.clock(59.96), "1:00"),
        (units.clock(245), "4:05"),
        (units.clock(3719.6), "1:02:00"),
        (units.clock_mark(0.5), "0.5 s"),
        (units.clock_mark(30), "30 s"),
        (units.clock_mark(90), "1:30"),
        (units.level(-3.14), "−3.1"),
        (units.level(-0.01), "0.0"),
        (units.level_mark(-12.5), "−12.5"),
        (units.level_mark(0), "0"),
        (units.level(units.decibels(16384)), "−6.0"),
        (units.percent(0, 0), "0 %"),
        (units.percent(1, 3), "33.3 %"),
        (units.percent(1, 10**6), "< 0.01 %"),
        (units.percent(3, 3), "100 %"),
    ],
)
def test_written(written: str, expected: str) -> None:
    assert written == expected
