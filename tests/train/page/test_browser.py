"""The page in a real browser: nothing runs, nothing is fetched, all is drawn, and neighbours can be heard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.devtools import Browser
from tests.browser.seen import CONTRASTS, complaints, requests

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
    assert browser.evaluate("document.scripts.length") == 0
    assert requests(browser) == [hostile_page.as_uri()]
    assert complaints(browser) == []
    assert browser.evaluate("getComputedStyle(document.body).maxWidth") == "1184px"  # the style sheet is let in
    assert browser.evaluate("[...document.images].map(image => image.naturalWidth)") == [64]


def test_the_policy_stops_what_would_slip_through(browser: Browser, hostile_page: Path, tmp_path: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    text = text.replace("<body>", "<body><script>window.hacked = 1</script>", 1)
    (tmp_path / "guarded.html").write_text(text, encoding="utf-8")
    browser.open((tmp_path / "guarded.html").as_uri())
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert [each["entry"]["source"] for each in complaints(browser)] == ["security"]
    (tmp_path / "bare.html").write_text(text.replace("Content-Security-Policy", "x", 1), encoding="utf-8")
    browser.open((tmp_path / "bare.html").as_uri())
    assert browser.evaluate("window.hacked") == 1  # so the checks above can fail


def test_queries_and_neighbours_can_be_heard_at_their_length(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page.as_uri())
    heard = browser.evaluate(HEARD)
    lengths = {label: round(duration, 1) for label, duration, _ in heard}
    assert len(heard) == 5 * 6, "five queries with five neighbours each"
    assert lengths["Play disc/one6.mp3"] == pytest.approx(4, abs=0.15), "a short track is there whole"
    assert lengths["Play disc/one2.mp3"] == pytest.approx(10, abs=0.15)
    assert all(ready >= 2 for _, _, ready in heard), "the sound near the end is decoded"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_text_lies_beside_the_window(browser: Browser, hostile_page: Path, width: int) -> None:
    browser.open(hostile_page.as_uri(), width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("[...document.querySelectorAll('details')].map(d => d.open = true).length") >= 2
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_by_day_and_by_night(browser: Browser, hostile_page: Path, *, dark: bool) -> None:
    browser.open(hostile_page.as_uri(), dark=dark)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 24, 27)" if dark else "rgb(246, 245, 242)")
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 150
    assert contrasts[0][0] >= 4.5, contrasts[:3]


def test_the_keyboard_reaches_players_and_shows_where_it_is(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page.as_uri())
    reached = []
    for _ in range(3):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(
            browser.evaluate("[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineWidth]")
        )
    assert reached[:2] == [["SUMMARY", "3px"], ["AUDIO", "3px"]]


def test_the_loss_curve_runs_from_corner_to_corner(browser: Browser, hostile_page: Path) -> None:
    """It falls from 4 to 2 by a straight line, and 2 to 4 is the axis."""
    browser.open(hostile_page.as_uri(), height=6000)
    plot, curve = browser.evaluate(
        """['.plot', '.plot .curve'].map(kind => document.querySelector('.chart ' + kind).getBoundingClientRect())
           .map(box => [box.x, box.y, box.width, box.height])"""
    )
    assert plot[2] > 300
    assert curve == pytest.approx(plot, abs=3)
