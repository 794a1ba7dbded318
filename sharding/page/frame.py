"""The frame of a page that is one file: nothing in it can run or be fetched."""

from __future__ import annotations

import base64
import hashlib

from sharding.page.markup import Markup, element


def page_head(title: str, style: str) -> Markup:
    """The head of a page with one style sheet and, at most, pictures and sound that lie in the page.

    Args:
        title: of the page.
        style: the text of the style sheet.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # Were there ever a hole in the escaping, nothing could run or be fetched.
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(style)),
    )
