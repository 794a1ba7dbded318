"""The page in a real browser: nothing runs, nothing is fetched, everything is drawn, every track can be heard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.devtools import Browser
from tests.browser.seen import CONTRASTS, complaints, requests
from tests.sharding.page.conftest import hostile_songs
from tests.sharding.page.material import RATE, visible

pytestmark = pytest.mark.needs("chromium")

HEARD = """
Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise((resolve, reject) => {
  audio.onerror = () => reject(audio.error.message);
  audio.onloadedmetadata = () => { audio.currentTime = audio.duration - 0.2; };
  audio.onseeked = () => resolve([audio.getAttribute('aria-label'), audio.duration, audio.readyState]);
  audio.preload = 'auto';
  audio.load();
})))
"""


def test_nothing_runs_and_nothing_is_fetched(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page.as_uri())
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert browser.evaluate("document.scripts.length + document.images.length") == 0
    assert requests(browser) == [hostile_page.as_uri()]
    assert complaints(browser) == []
    assert browser.evaluate("getComputedStyle(document.body).maxWidth") == "1184px"  # the style sheet is let in


def test_the_policy_stops_what_would_slip_through(browser: Browser, hostile_page: Path, tmp_path: Path) -> None:
    address = "http://127.0.0.1:9/x.png"
    text = hostile_page.read_text(encoding="utf-8")
    text = text.replace("<body>", f"<body><script>window.hacked = 1</script><img src='{address}'>", 1)
    (tmp_path / "guarded.html").write_text(text, encoding="utf-8")
    browser.open((tmp_path / "guarded.html").as_uri())
    assert browser.evaluate("typeof window.hacked") == "undefined"
    refusals = [(entry["source"], entry["text"]) for entry in (each["entry"] for each in complaints(browser))]
    assert [source for source, _ in refusals] == ["security", "security"]
    assert refusals[0][1].startswith("Executing inline script violates")
    assert refusals[1][1].startswith(f"Loading the image '{address}' violates")

    (tmp_path / "bare.html").write_text(text.replace("Content-Security-Policy", "x", 1), encoding="utf-8")
    browser.open((tmp_path / "bare.html").as_uri())
    assert browser.evaluate("window.hacked") == 1  # so the checks above can fail
    assert address in requests(browser)


def test_every_track_can_be_heard_at_its_length(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page.as_uri())
    lengths = {
        "Play " + visible(song.source.split("\n")[0]): min(len(song.pcm) / RATE, 30)
        for song in hostile_songs()
        if not song.reason
    }
    heard = browser.evaluate(HEARD)
    assert {label: duration for label, duration, _ in heard} == pytest.approx(lengths, abs=0.1)
    assert all(ready >= 2 for _, _, ready in heard)  # the sound near the end is decoded


def test_every_waveform_is_painted(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page.as_uri(), height=6000)
    boxes = browser.evaluate(
        """[...document.querySelectorAll('.waveform path')].map(path => {
          const box = path.getBoundingClientRect();
          const middle = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
          return [box.width, box.height, middle === path, getComputedStyle(path).fill];
        })"""
    )
    assert len(boxes) == 13
    for width, height, hit, fill in boxes:
        assert width > 200
        assert height > 4
        assert hit
        assert fill == "rgb(53, 98, 125)"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_text_lies_beside_the_window(browser: Browser, hostile_page: Path, width: int) -> None:
    browser.open(hostile_page.as_uri(), width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("[...document.querySelectorAll('details')].map(d => d.open = true).length") == 2
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_by_day_and_by_night(browser: Browser, hostile_page: Path, *, dark: bool) -> None:
    browser.open(hostile_page.as_uri(), dark=dark)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 24, 27)" if dark else "rgb(246, 245, 242)")
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 200
    assert contrasts[0][0] >= 4.5, contrasts[:3]


def test_the_keyboard_reaches_tables_and_players_and_shows_where_it_is(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page.as_uri())
    reached = []
    for _ in range(3):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(
            browser.evaluate("[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineWidth]")
        )
    assert reached == [["SUMMARY", "3px"], ["SUMMARY", "3px"], ["AUDIO", "3px"]]


def test_histogram_bars_are_as_high_as_their_counts(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page.as_uri())
    charts = browser.evaluate(
        """[...document.querySelectorAll('figure')].map(figure => [
          [...figure.querySelectorAll('.bar')].map(bar => bar.getBoundingClientRect().height),
          [...figure.querySelectorAll('td')].map(cell => Number(cell.textContent)),
        ])"""
    )
    assert len(charts) == 2
    for heights, counts in charts:
        assert len(heights) == len(counts)
        assert sum(counts) == 13
        assert [height / max(heights) for height in heights] == pytest.approx(
            [n / max(counts) for n in counts], abs=0.02
        )
