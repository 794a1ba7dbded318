"""HTML as values: whatever is not markup already is escaped, so that no file's name can become markup."""

from __future__ import annotations

import base64
import html

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
VOID = frozenset({"img", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


Content = str | None
Attribute = str | float | bool | None


def element(tag: str, /, *children: Content, **attributes: Attribute) -> Markup:
    """One element.

    Args:
        tag: its name, such as ``"td"``.
        children: markup as it is, other text escaped; None is left out.
        attributes: ``class_`` stands for class and ``aria_label`` for aria-label; True gives the bare name, None and
            False leave the attribute out.
    """
    written = (
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_text(value)}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    opening = f"<{tag}{''.join(written)}>"
    return Markup(opening if tag in VOID else f"{opening}{join(*children)}</{tag}>")


def join(*parts: Content) -> Markup:
    """Several pieces of content, one after the other; None is left out."""
    return Markup("".join(_content(part) for part in parts))


def data_url(kind: str, data: bytes) -> str:
    """An address that holds what it leads to; ``kind`` is a media type such as ``image/png``."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _content(part: Content) -> str:
    if part is None:
        return ""
    return part if isinstance(part, Markup) else _escape(part)


def _text(value: Attribute) -> str:
    return _escape(value if isinstance(value, str) else f"{value:g}")


def _escape(text: str) -> str:
    """Text as HTML that shows it; what cannot be printed, such as a line's end in a file's name, becomes a sign."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() or letter == "\N{NO-BREAK SPACE}" else UNKNOWN for letter in text)
    return html.escape(text)
