"""Numbers as people read them."""

from __future__ import annotations

import math

FULL_SCALE = 32768


def count(number: int) -> str:
    """1234567 is ``1,234,567``."""
    return f"{number:,}"


def some(number: int, noun: str) -> str:
    """A number of things: ``1 song``, ``2,000 songs``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """Bytes with a binary unit and three digits: ``38.2 MiB``."""
    amount, unit = float(number), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1000:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.3g} {unit}"


def hours(seconds: float) -> str:
    """Hours with two decimals, from 100 on without: ``2.31``, ``1,024``."""
    amount = seconds / 3600
    return f"{amount:.2f}" if amount < 100 else f"{amount:,.0f}"


def clock(seconds: float) -> str:
    """Seconds below a minute, then minutes and seconds, then hours: ``29.1 s``, ``4:05``, ``1:02:00``."""
    return f"{seconds:.1f} s" if seconds < 59.95 else _minutes(seconds)


def clock_mark(seconds: float) -> str:
    """A round duration, shorter where it can be: ``29 s``, ``0.5 s``, ``4:05``."""
    return f"{seconds:.3g} s" if seconds < 59.95 else _minutes(seconds)


def level(decibels: float) -> str:
    """Decibels to a tenth: ``−3.1``."""
    return _signed(f"{decibels:.1f}")


def level_mark(decibels: float) -> str:
    """A round level: ``−3``."""
    return _signed(f"{decibels:.3g}")


def decibels(peak: int) -> float:
    """Level of a peak against full scale: dBFS, 0 for 32768."""
    return 20 * math.log10(peak / FULL_SCALE)


def percent(part: int, whole: int) -> str:
    """A share; one that would round to nothing says so."""
    share = 100 * part / whole if whole else 0.0
    return "< 0.01 %" if 0 < share < 0.01 else f"{share:.3g} %"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _signed(number: str) -> str:
    """With a true minus sign, and none before a zero."""
    return number.lstrip("-") if float(number) == 0 else number.replace("-", "\N{MINUS SIGN}")
