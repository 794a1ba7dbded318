"""Parameters in words and units: what one row got, and what an augmentation draws."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clmr.augment.augmentation import Augmentation
from clmr.augment.table import Table

Values = Mapping[str, Any]
"""Column -> value of one row, or field of an augmentation -> its value."""

UNIT = re.compile(r"(?<=\d) (?=(?:Hz|dB|ms|%|semitones)(?:\W|$))")

SETTINGS: dict[str, Callable[[Values], str]] = {
    "polarity": lambda row: "inverted",
    "noise": lambda row: f"{number(row['snr_db'])} dB SNR",
    "gain": lambda row: f"{signed(row['db'])} dB",
    "filter": lambda row: f"{'high' if row['high'] else 'low'}-pass {number(row['hz'])} Hz",
    "delay": lambda row: f"{number(row['ms'])} ms",
    "pitch": lambda row: f"{signed(row['cents'] / 100)} semitones",
    "reverb": lambda row: (
        f"reverberance {number(row['reverberance'])} %, damping {number(row['damping'])} %, "
        f"room {number(row['room_scale'])} %"
    ),
}
RANGES: dict[str, Callable[[Values], str]] = {
    "polarity": lambda field: "inverted",
    "noise": lambda field: f"{span(field['snr_db'], number)} dB SNR",
    "gain": lambda field: f"{span(field['db'], signed)} dB",
    "filter": lambda field: (
        f"{field['kind']}, by coin flip low-pass {span(field['low_pass_hz'], number)} Hz or "
        f"high-pass {span(field['high_pass_hz'], number)} Hz"
    ),
    "delay": lambda field: f"{span(field['ms'], number)} ms in steps of {field['step_ms']} ms",
    "pitch": lambda field: (
        f"{span(field['semitones'], signed)} semitones{', whole cents' if field['whole_cents'] else ''}"
    ),
    "reverb": lambda field: (
        f"reverberance {span(field['reverberance'], number)} %, damping {span(field['damping'], number)} %, "
        f"room {span(field['room_scale'], number)} %{', whole numbers, the highest left out' if field['whole'] else ''}"
    ),
}


def setting(name: str, row: Values) -> str:
    """The parameters of one row of the augmentation ``name``, such as ``low-pass 2,200 Hz``."""
    if name in SETTINGS:
        return _tied(SETTINGS[name](row))
    return " ".join([name, *(f"{column} {number(value)}" for column, value in row.items())])


def ranges(operation: Augmentation) -> str:
    """What an augmentation draws and for which share of the views, such as ``−6 to 0 dB, on 30 % of the views``."""
    fields = vars(operation)
    if operation.name in RANGES:
        drawn = RANGES[operation.name](fields)
    else:
        drawn = ", ".join(f"{field} {value}" for field, value in fields.items() if field != "probability")
    clipped = ", clipped at full scale" if fields.get("clamp") else ""
    return _tied(f"{drawn}{clipped}, on {100 * operation.probability:.3g} % of the views")


def applied(table: Table, row: int) -> str:
    """What a chain's table does to one row, operation after operation."""
    names = [column.removesuffix(".gate") for column in table if column.endswith(".gate")]
    words = [_named(name, dict(_columns(table, name, row))) for name in names if table[f"{name}.gate"][row]]
    return ", ".join(words) or "left as it is"


def number(value: float) -> str:
    """Three digits, whole from 100 on: ``0.25``, ``40``, ``2,200``; with a true minus sign, and none before a zero."""
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    written = f"{round(value, decimals) + 0.0:,.{decimals}f}"  # -0.0 + 0.0 is 0.0
    return (written.rstrip("0").rstrip(".") if decimals else written).replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """:func:`number` with its sign: ``+5``, ``−6``, ``0``."""
    written = number(value)
    return f"+{written}" if value > 0 and written != "0" else written


def span(bounds: tuple[float, float], write: Callable[[float], str]) -> str:
    """``low to high``, or the one number that is possible."""
    low, high = bounds
    return write(low) if low == high else f"{write(low)} to {write(high)}"


def _tied(words: str) -> str:
    """No line ends between a number and its unit."""
    return UNIT.sub("\N{NO-BREAK SPACE}", words)


def _columns(table: Table, name: str, row: int) -> Iterator[tuple[str, Any]]:
    for column, values in table.items():
        operation, _, parameter = column.partition(".")
        if operation == name and parameter != "gate":
            yield parameter, values[row].item()


def _named(name: str, row: Values) -> str:
    """With the name, where the setting alone does not say what is done."""
    words = setting(name, row)
    return words if name in {"filter", "reverb"} or words.startswith(name) else f"{name} {words}"
