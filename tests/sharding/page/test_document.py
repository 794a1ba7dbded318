"""The file: well-formed HTML that names no address, the same for the same shards, whole or not there at all."""

from __future__ import annotations

import base64
import hashlib
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from clmr.errors import ConfigError, ShardError
from sharding.page import write_page
from tests.sharding.page.conftest import LABELS, NAMES
from tests.sharding.page.material import Song, skipped, tone, write_shards

VOID = {"br", "link", "meta"}


class Page(HTMLParser):
    """Reads a page and refuses one whose elements do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.styles = ""
        self.feed(path.read_text(encoding="utf-8"))
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
        if self.open and self.open[-1] == "style":
            self.styles += data
        else:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such element."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(hostile_page: Path) -> Page:
    return Page(hostile_page)


def test_no_script_no_address_and_a_policy_that_allows_none(page: Page) -> None:
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "img", "iframe", "object", "embed", "a", "form", "base", "foreignobject"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in {"src", "href", "srcset", "poster", "action", "xlink:href"} & set(attributes):
            assert (attributes[name] or "").startswith("data:"), (tag, name)
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(page.styles.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )


def test_names_stand_there_as_they_are(page: Page) -> None:
    texts = set(page.texts)
    for name in NAMES:
        if name.isprintable():
            assert name in texts
    assert {"disc/one.mp3", " and 2 more files", "tab\u2409bell\u2407.mp3", "\ufffdgnp.3pm", "<b>odd</b>"} <= texts
    assert set(LABELS) <= texts


def test_charts_and_players_have_names_and_tables_have_headings(page: Page) -> None:
    drawings = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(drawings) == 1 + 2 + 13  # hours, the two histograms, the waveforms
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in drawings)
    assert len(page.all("audio")) == 13
    assert all((audio["aria-label"] or "").startswith("Play ") for audio in page.all("audio"))
    assert all(heading.get("scope") in {"row", "col"} for heading in page.all("th"))
    headings = {attributes.get("id") for attributes in page.all("h2")}
    assert {section["aria-labelledby"] for section in page.all("section")} == headings
    assert dict(page.elements[0][1]) == {"lang": "en"}


def test_the_sums_are_said(page: Page) -> None:
    texts = " ".join(page.texts)
    assert "22 attempted = 13 written + 9 left out." in texts
    assert "Shorter than one crop of the encoder at the target rate." in texts
    assert "Labels on no track: 1." in texts
    assert "12 samples (< 0.01 % of all) in 8 tracks lay beyond 16 bits and had to be clipped." in texts


def test_same_shards_and_seed_same_bytes(hostile_shards: Path, hostile_page: Path, tmp_path: Path) -> None:
    again = write_page(str(hostile_shards), tmp_path / "again.html", tracks=13)
    assert again.read_bytes() == hostile_page.read_bytes()
    other = write_page(str(hostile_shards), tmp_path / "other.html", seed=1)
    assert other.read_bytes() != hostile_page.read_bytes()
    assert other.read_bytes().count(b"<audio") == 12


def test_it_lies_beside_the_manifest_by_default(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards", [Song("a", "a.mp3", tone(1))])
    assert write_page(str(root)) == root / "page.html"
    assert Page(root / "page.html").all("audio")


def test_no_track_written_or_wanted(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "none", [skipped(0, "silent"), skipped(1, "of_another_version")], labels=["x"])
    page = Page(write_page(str(root)))
    assert not page.all("audio")
    assert "2 attempted = 0 written + 2 left out." in page.texts
    root = write_shards(tmp_path / "one", [Song("a", "a.mp3", tone(1))])
    page = Page(write_page(str(root), tracks=0))
    assert not page.all("audio")
    assert "Nothing: 1 attempted = 1 written + 0 left out." in page.texts


def test_an_error_leaves_the_old_page(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards", [Song("a", "a.mp3", tone(1))])
    old = write_page(str(root)).read_bytes()
    (root / "train/000000.tar").write_bytes(b"")
    with pytest.raises(ShardError, match=r"train/000000\.tar ends within the track a"):
        write_page(str(root))
    assert (root / "page.html").read_bytes() == old
    shutil.rmtree(root / "train")
    with pytest.raises(ShardError, match=r"train/000000\.tar is missing"):
        write_page(str(root), tmp_path / "new" / "page.html")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("out", "tracks", "seed", "message"),
    [
        (None, -1, 0, "tracks is -1"),
        (None, 12, -2, "seed is -2"),
        ("s3://bucket/page.html", 12, 0, "local file"),
        ("/", 12, 0, "/ is a folder"),
    ],
)
def test_what_cannot_be_is_refused(out: str | None, tracks: int, seed: int, message: str, tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards", [Song("a", "a.mp3", tone(1))])
    with pytest.raises(ConfigError, match=message):
        write_page(root, out, tracks=tracks, seed=seed)
    assert not (root / "page.html").exists()
