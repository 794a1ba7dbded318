"""Pieces that every part of the page is made of."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from sharding.page.markup import Content, Markup, element, join, name

Row = tuple[Content, Content]


def section(title: str, *content: Content, note: Content = None) -> Markup:
    """A part of the page with its heading and, below it, a note in plain words."""
    anchor = title.lower().replace(" ", "-")
    return element(
        "section",
        element("h2", title, id=anchor),
        element("p", note, class_="note") if note else None,
        *content,
        aria_labelledby=anchor,
    )


def missing(what: str, *command: str | Path) -> Markup:
    """A line in place of a part that is not there, with the command that makes it, where one does."""
    line = shlex.join(map(str, command))
    return element("p", what, join(": ", element("code", name(line))) if command else None, class_="missing")


def facts(rows: Iterable[Row], kind: str = "facts") -> Markup:
    """Names with their values."""
    pairs = (element("div", element("dt", term), element("dd", value)) for term, value in rows)
    return element("dl", *pairs, class_=kind)


def tiles(rows: Iterable[tuple[str, str, Content]]) -> Markup:
    """Large numbers, each with its name above and what it means below."""
    each = (
        element(
            "div",
            element("dt", label),
            element("dd", number),
            element("dd", note, class_="note") if note else None,
        )
        for label, number, note in rows
    )
    return element("dl", *each, class_="tiles")


def fold(summary: str, *content: Content) -> Markup:
    """What most readers need not see, behind a line that opens it."""
    return element("details", element("summary", summary), *content)
