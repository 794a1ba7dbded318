"""The page as a file: it nests, names no address, guards itself, and is the same for the same seed."""

from __future__ import annotations

import base64
import hashlib
import os
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from clmr.augment import Chain
from clmr.augment.__main__ import main
from clmr.augment.listen.markup import element
from clmr.augment.listen.song import make_song
from clmr.augment.listen.words import ranges

VOID = {"img", "input", "link", "meta"}


class Page(HTMLParser):
    """Reads a page and refuses one whose elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such element."""
        return [attributes for name, attributes in self.elements if name == tag]

    def within(self, tag: str) -> list[str]:
        """The texts that stand directly in such elements."""
        return [text for name, text in self.texts if name == tag]


@pytest.fixture(scope="module")
def read(page: Path) -> Page:
    return Page(page.read_text(encoding="utf-8"))


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_it_needs_nothing_else_and_allows_nothing_else(page: Path, read: Page) -> None:
    assert page.stat().st_size < 6e6
    assert not {tag for tag, _ in read.elements} & {"iframe", "object", "embed", "form", "base"}
    for tag, attributes in read.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in {"src", "href", "srcset", "poster", "action"} & set(attributes):
            assert (attributes[name] or "").startswith("#" if tag == "a" else "data:"), (tag, name)
    (style,), (script,) = read.within("style"), read.within("script")
    assert "url(" not in style
    assert "@import" not in style
    assert "fetch(" not in script
    (policy,) = [meta["content"] for meta in read.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == (
        f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; img-src data:; media-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )


def test_every_effect_is_there_with_what_the_presets_draw(read: Page) -> None:
    articles = [article.get("id") for article in read.all("article")]
    assert articles == [
        *(None, "polarity", "noise", "gain"),
        *("low-pass-first-order", "high-pass-first-order", "low-pass-sinc", "high-pass-sinc"),
        *("delay", "pitch", "reverb", "chain-paper", "chain-official"),
    ]
    assert {link["href"] for link in read.all("a")} == {f"#{name}" for name in articles if name}
    drawn = read.within("dd")
    for preset in ("paper", "official"):
        for operation in Chain.preset(preset, 22050).operations:
            assert ranges(operation) in drawn


def test_everything_has_a_name(read: Page) -> None:
    assert len(read.all("audio")) == 1 + 1 + 9 * 3 + 2 * 3
    assert len(read.all("img")) == 1 + 9 * 4 + 2 * 4  # not of the polarity, which has waveforms
    names = [audio["aria-label"] for audio in read.all("audio")]
    assert len(set(names)) == len(names)
    assert all(image["alt"] for image in read.all("img"))
    assert all(svg.get("aria-label") or svg["aria-hidden"] for svg in read.all("svg"))
    sliders = [box for box in read.all("input") if box["type"] == "range"]
    assert len({slider["aria-label"] for slider in sliders}) == len(sliders) == 12
    assert {section["aria-labelledby"] for section in read.all("section")} == {h["id"] for h in read.all("h2")}
    assert read.elements[0] == ("html", {"lang": "en"})


def test_a_name_that_tries_to_be_markup(tmp_path: Path) -> None:
    import soundfile

    name = b"</h1><script>window.hacked = 1</script>'\"\n\xff.wav".replace(b"/", b"_")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    with path.open("wb") as file:
        soundfile.write(file, make_song(22050)[0, 0, :22050].numpy(), 22050, format="WAV")
    target = tmp_path / "page.html"
    answer = CliRunner().invoke(main, ["--page", str(target), str(path), "--preset", "paper"], catch_exceptions=False)
    assert answer.exit_code == 0
    hostile = Page(target.read_text(encoding="utf-8"))
    assert len(hostile.all("script")) == 1
    assert "<_h1><script>window.hacked = 1<_script>'\"\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.wav" in (
        hostile.within("bdi")
    )
    assert "chain-official" not in {article.get("id") for article in hostile.all("article")}


def test_attributes_are_escaped() -> None:
    attributes = Page(element("p", "<b>&", title='"><script>', class_="x", hidden=True, lang=None, value=1.5)).elements
    assert attributes == [("p", {"title": '"><script>', "class": "x", "hidden": None, "value": "1.5"})]


def test_same_seed_same_bytes(second: Path, tmp_path: Path) -> None:
    pages = []
    for seed in ("0", "0", "1"):
        target = tmp_path / "page.html"
        arguments = ["--page", str(target), "--preset", "paper", "--seed", seed, str(second)]
        CliRunner().invoke(main, arguments, catch_exceptions=False)
        pages.append(target.read_bytes())
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]
