"""Whatever text goes in, a parser of HTML reads the same text again, and no markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st

from sharding.page.markup import element, escape, join
from tests.sharding.page.material import visible


class Reader(HTMLParser):
    """What one element of HTML says."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts)
@example("<script>alert(1)</script>", '" onload="alert(1)')
@example("&lt; &amp", "'>\x00\r\n\u202e\x9b")
def test_text_comes_back_as_text(content: str, attribute: str) -> None:
    read = Reader(element("p", content, title=attribute))
    assert read.tags == [("p", {"title": visible(attribute)})]
    assert read.text == visible(content)


def test_markup_is_not_escaped_twice() -> None:
    inner = element("b", "a < b")
    assert element("p", inner, None, 3, class_="x", aria_label="y") == (
        '<p class="x" aria-label="y"><b>a &lt; b</b>3</p>'
    )
    assert join(escape("<"), "<", inner) == "&lt;&lt;<b>a &lt; b</b>"


def test_attributes_can_be_bare_or_left_out_and_void_elements_have_no_end() -> None:
    assert element("audio", controls=True, muted=False, src=None) == "<audio controls></audio>"
    assert element("rect", x=0.5, width=3) == '<rect x="0.5" width="3"></rect>'
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
