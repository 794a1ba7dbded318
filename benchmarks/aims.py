"""What was aimed at, and whether it is met, from measured medians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import Spread, markdown_table, ratio
from benchmarks.turns import Measured


@dataclass(frozen=True)
class Aim:
    """How many times as fast as others a contender is to be."""

    title: str
    others: tuple[str, ...]
    """Whole names, or with a blank at the end the beginnings of names."""
    least: float | None
    """The aim; None where there is none."""


def fastest(names: Sequence[str], measured: Measured) -> str | None:
    """Of the contenders with these names the one with the highest median; None where none was measured."""
    fitting = [
        name
        for name in measured.rates
        if any(name.startswith(other) if other.endswith(" ") else name == other for other in names)
    ]
    return max(fitting, key=lambda name: measured.rates[name].median, default=None)


def times_of(aim: Aim, measured: Measured, ours: str) -> tuple[str, Spread] | None:
    """The fastest of the others, and how many times as fast ours is."""
    name = fastest(aim.others, measured)
    return (name, ratio(measured.rates[ours], measured.rates[name])) if name else None


def notes_list(*several: Measured) -> str:
    """How the contenders are set up, as Markdown: those that say the same in one line."""
    names: dict[str, list[str]] = {}
    for measured in several:
        for name, text in measured.notes.items():
            names.setdefault(text, []).append(name)
    return "".join(f"- {'; '.join(dict.fromkeys(same))}: {text}\n" for text, same in names.items())


def aim_table(aims: Sequence[Aim], measured: Measured, ours: str) -> str:
    """The aims and what became of them, as Markdown."""
    rows = []
    for aim in aims:
        wanted = "" if aim.least is None else f"{aim.least:g}x"
        found = times_of(aim, measured, ours)
        if found is None:
            rows.append([aim.title, "", "not measured", "", wanted, "not measured" if wanted else ""])
            continue
        name, times = found
        met = "" if aim.least is None else "met" if times.median >= aim.least else "missed"
        spread = f"{times.lowest:.2f} - {times.highest:.2f}"
        rows.append([aim.title, name, f"{times.median:.2f}x", spread, wanted, met])
    return markdown_table([f"{ours} against", "the fastest is", "times", "lowest - highest", "aim", ""], rows)
