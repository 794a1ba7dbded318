"""Shards with names that try to be markup, the page about them, and a browser to open it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sharding.page import write_page
from tests.browser.devtools import Browser
from tests.sharding.page.material import Song, skipped, tone, write_shards

SCRIPT = "<script>window.hacked = 1</script>"
NAMES = (
    SCRIPT,
    '"><img src=x onerror="window.hacked = 1">.mp3',
    "' onmouseover='window.hacked = 1' x='.wav",
    "שלום עולם/שיר 7 (live).mp3",
    "\u202egnp.3pm",
    "🎻🎶/été.flac",
    "a" * 300 + ".mp3",
    "]]></style><!-- .mp3",
    "tab\tbell\x07.mp3",
    "disc/one.mp3\ndisc/two.mp3\ndisc/three.mp3",
    "&amp;&lt;javascript:alert(1)",
    "plain.mp3",
    "another.mp3",
)
LABELS = (SCRIPT, '"quoted"', "עברית", "w" * 200, "emoji 🎷", "rock & roll", "unused")


def hostile_songs() -> list[Song]:
    """13 tracks of 3 to 39 s in three splits, and 9 that were left out."""
    songs = [
        Song(
            f"track-{number:02d}",
            name,
            tone(3 + 3 * number, frequency=200 + 100 * number, peak=2000 * (number + 1)),
            split=("train", "valid", "test")[number % 3],
            song_id=f"song {name}",
            labels=LABELS[: number % 7],
            clipped=number % 3,
        )
        for number, name in enumerate(NAMES)
    ]
    return [*songs, *(skipped(number, "too_short", NAMES[number]) for number in range(8)), skipped(0, "<b>odd</b>")]


@pytest.fixture(scope="session")
def hostile_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    root = tmp_path_factory.mktemp("shards") / "hostile"
    return write_shards(root, hostile_songs(), labels=LABELS, dataset=f"<i>{'long' * 60}")


@pytest.fixture(scope="session")
def hostile_page(hostile_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(str(hostile_shards), tmp_path_factory.mktemp("page") / "page.html", tracks=len(NAMES))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium
