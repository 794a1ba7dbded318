"""What a mistyped name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of an error message: the name most like ``name``, or all that are allowed."""
    names = list(allowed)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(names) or 'nothing'}"
