"""HTML as values: whatever is not markup already is escaped, so that no name or tag of a corpus can become markup."""

from __future__ import annotations

import html

CONTROL_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
# The other controls: C1, and those of writing direction, with which a name could be made to read as another.
UNPRINTABLE = dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
VOID = frozenset({"br", "img", "link", "meta"})


class Markup(str):
    """Text that is HTML; only this module makes it from text that is not."""

    __slots__ = ()


Content = str | int | None
Attribute = str | int | float | bool | None


def escape(text: str) -> Markup:
    """Text as HTML that shows it, for elements and quoted attributes; control characters become visible signs."""
    return Markup(html.escape(text.translate(CONTROL_PICTURES | UNPRINTABLE)))


def join(*parts: Content) -> Markup:
    """Several pieces of content, one after the other; None is left out."""
    return Markup("".join(_content(part) for part in parts))


def element(tag: str, /, *children: Content, **attributes: Attribute) -> Markup:
    """One element.

    Args:
        tag: its name, such as ``"td"``.
        children: markup as it is, other text escaped; None is left out.
        attributes: ``class_`` stands for class and ``aria_label`` for aria-label; True gives the bare name, None and
            False leave the attribute out.
    """
    written = (
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_content(_number(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    opening = f"<{tag}{''.join(written)}>"
    return Markup(opening if tag in VOID else f"{opening}{join(*children)}</{tag}>")


def name(text: str) -> Markup:
    """A name from the corpus: isolated, so that writing from right to left does not reorder what stands beside it."""
    return element("bdi", text)


def _content(part: Content) -> str:
    if part is None:
        return ""
    return part if isinstance(part, Markup) else escape(str(part))


def _number(value: Attribute) -> str:
    return value if isinstance(value, str) else f"{value:g}"
