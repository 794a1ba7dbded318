"""Axes have round numbers, curves keep their spikes, and nothing that is not finite is drawn."""

from __future__ import annotations

import re

import pytest

from train.page.chart import Curve, line_chart, thin, ticks
from train.page.curves import value


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (4.1, 4.45, [4.1, 4.2, 4.3, 4.4, 4.5]),
        (0, 1, [0, 0.5, 1]),
        (-1.2, -0.57, [-1.2, -1, -0.8, -0.6, -0.4]),
        (0.0019, 0.0072, [0, 0.002, 0.004, 0.006, 0.008]),
        (1234, 5678, [0, 2000, 4000, 6000]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@pytest.mark.parametrize("constant", [0.0, 1.0, -3.0, 1e-9, 1e9])
def test_a_constant_has_an_axis_too(constant: float) -> None:
    marks = ticks(constant, constant)
    assert marks[0] < constant < marks[-1]


def test_thinning_keeps_ends_and_spikes() -> None:
    points = [(float(step), 1.0) for step in range(100_000)]
    points[777], points[55_555] = (777.0, 9.0), (55_555.0, -9.0)
    kept = thin(points, 100)
    assert len(kept) <= 102
    assert {points[0], points[777], points[55_555], points[-1]} <= set(kept)
    assert [step for step, _ in kept] == sorted(step for step, _ in kept)


def test_what_is_not_finite_is_not_drawn() -> None:
    assert line_chart({"loss": Curve([(1, float("nan")), (2, float("inf"))])}, "loss") is None
    chart = line_chart({"loss": Curve([(1, 1.0), (2, float("nan")), (3, 2.0)])}, "loss")
    assert chart is not None
    assert "nan" not in chart
    assert re.findall(r'd="(M[^"]+)"', chart) == ["M0.0 1000.0L1000.0 0.0h0"]


def test_a_single_point_is_drawn() -> None:
    chart = line_chart({"loss": Curve([(5, 2.0)], dotted=2.0)}, "loss")
    assert chart is not None
    assert "M0.0 500.0h0" in chart


@pytest.mark.parametrize(
    ("number", "text"),
    [(4.14, "4.140"), (0.0, "0.000"), (-1.2194, "\N{MINUS SIGN}1.219"), (12345.6, "12,346"), (999.9, "999.9")],
)
def test_values_have_four_digits(number: float, text: str) -> None:
    assert value(number) == text
