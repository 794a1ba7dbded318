"""The page in a real browser: it plays, it switches at the same place, the keyboard reaches everything, it fits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.devtools import Browser
from tests.browser.seen import CONTRASTS, complaints, requests

pytestmark = pytest.mark.needs("chromium")

# The gates that the page makes and when it starts what where, in order: before and after of each start. This runs
# before the page's own script.
WATCH = """
window.gates = [];
const Gate = window.GainNode;
window.GainNode = class extends Gate { constructor(...given) { super(...given); window.gates.push(this); } };
window.starts = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...given) { window.starts.push(given); start.apply(this, given); };
"""
OPEN = "window.gates.slice(-2).map(gate => Math.round(gate.gain.value))"  # of what plays now: before, after

# Every sound decoded: its name, length, and its distance to the recording, relative to it.
SOUNDS = """
(async () => {
  const context = new OfflineAudioContext(1, 1, 22050);
  const decode = audio => {
    const text = atob(audio.getAttribute('src').split(',')[1]);
    return context.decodeAudioData(Uint8Array.from(text, letter => letter.charCodeAt(0)).buffer);
  };
  const samples = async audio => (await decode(audio)).getChannelData(0);
  const before = await samples(document.getElementById('before'));
  const power = values => values.reduce((sum, value) => sum + value * value, 0);
  const found = {};
  for (const audio of document.querySelectorAll('audio')) {
    const after = await samples(audio);
    found[audio.getAttribute('aria-label')] =
      [after.length, Math.sqrt(power(after.map((value, at) => value - before[at])) / power(before))];
  }
  return found;
})()
"""


def key(browser: Browser, name: str, code: int, text: str = "") -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, text=text)


def wait(browser: Browser, condition: str) -> None:
    """Until an expression of JavaScript is true."""
    end = time.monotonic() + 20
    while not browser.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.02)


def position(browser: Browser, card: str) -> float:
    return float(browser.evaluate(f"document.querySelector('#{card} input[type=range]').value"))


@pytest.fixture
def watched(browser: Browser, page: Path) -> Browser:
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)["identifier"]
    browser.open(page.as_uri())
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    return browser


def test_nothing_is_fetched_and_nothing_complains(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    assert requests(browser) == [page.as_uri()]
    assert complaints(browser) == []
    assert browser.evaluate("document.documentElement.className") == "scripted"
    assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalHeight == 96)")


def test_the_policy_stops_other_scripts(browser: Browser, page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("<header>", "<script>window.hacked = 1</script><header>", 1)
    (tmp_path / "guarded.html").write_text(text, encoding="utf-8")
    browser.open((tmp_path / "guarded.html").as_uri())
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert [each["entry"]["source"] for each in complaints(browser)] == ["security"]


def test_every_sound_decodes_in_step_with_the_recording(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    sounds = browser.evaluate(SOUNDS)
    assert len(sounds) == 35
    assert {length for length, _ in sounds.values()} == {6 * 22050}
    distances = {name.replace("\N{NO-BREAK SPACE}", " "): distance for name, (_, distance) in sounds.items()}
    assert distances["Play Polarity, inverted"] == pytest.approx(2, abs=0.02)
    # MP3 itself is about 1 % off, in step: a shift by one sample would be 20 % off.
    assert distances["Play Noise, 80 dB SNR"] < 0.03
    assert distances["Play Gain, −6 dB"] == pytest.approx(1 - 10 ** (-6 / 20), abs=0.02)
    assert distances["Play Gain, −20 dB"] == pytest.approx(0.9, abs=0.02)


def test_play_switch_choose_seek_and_pause(watched: Browser) -> None:
    browser = watched
    browser.evaluate("document.querySelector('#delay .play').focus()")
    key(browser, "Enter", 13, "\r")
    wait(browser, "Number(document.querySelector('#delay input[type=range]').value) > 0.2")
    assert browser.evaluate("document.querySelector('#delay .play').getAttribute('aria-label')") == "Pause Delay"
    assert browser.evaluate(OPEN) == [0, 1]

    # Before and after are one player: a switch opens one gate, closes the other, and starts nothing anew.
    key(browser, "Tab", 9)
    assert browser.evaluate("document.activeElement.value") == "after"
    key(browser, "ArrowLeft", 37)
    assert browser.evaluate("document.activeElement.value") == "before"
    wait(browser, f"{OPEN}.join() == '1,0'")
    assert browser.evaluate("window.gates.length") == 2
    assert browser.evaluate("document.querySelector('#delay').dataset.heard") == "before"

    # Another setting goes on where the sound is, and shows its picture.
    browser.evaluate("document.querySelectorAll('#delay .settings input')[2].click()")
    wait(browser, "window.gates.length == 4")
    shown = "[...document.querySelectorAll('#delay figure.after')].map(figure => figure.checkVisibility())"
    assert browser.evaluate(shown) == [False, False, True]
    assert browser.evaluate(OPEN) == [1, 0]
    (begun, at), _, (again, there), both = browser.evaluate("window.starts")
    assert there == pytest.approx((at + again - begun) % 6, abs=0.001)
    assert both == [again, there]

    # A second card takes over; one sound at a time.
    browser.evaluate("document.querySelector('#pitch .play').click()")
    wait(browser, "window.gates.length == 6")
    names = "[...document.querySelectorAll('.play')].filter(button => button.textContent == 'Pause').length"
    assert browser.evaluate(names) == 1
    stopped = position(browser, "delay")
    assert 0 < stopped < 6

    # A click on a picture goes there, in the card that was paused too, and its line says so.
    seek = """(() => {
      const plot = document.querySelector('#delay .before .plot'), box = plot.getBoundingClientRect();
      plot.dispatchEvent(new MouseEvent('click', { clientX: box.left + 0.75 * box.width, bubbles: true }));
      return [...document.querySelectorAll('#delay .line')].map(line => parseFloat(line.style.left));
    })()"""
    assert browser.evaluate(seek) == pytest.approx([75] * 4, abs=0.5)  # an event's place is in whole pixels
    assert position(browser, "delay") == pytest.approx(4.5, abs=0.03)
    browser.evaluate("document.querySelector('#pitch .play').click()")
    assert browser.evaluate(names) == 0
    assert complaints(browser) == []


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.evaluate("document.querySelector('#noise').scrollIntoView()")
    browser.evaluate("document.querySelector('#polarity input[type=range]').focus()")
    where = """(() => {
      const at = document.activeElement, drawn = at.type == 'radio' ? at.nextElementSibling : at;
      return [at.type, at.closest('article').id, getComputedStyle(drawn).outlineStyle];
    })()"""
    reached = []
    for _ in range(5):
        key(browser, "Tab", 9)
        reached.append(browser.evaluate(where))
    kinds = ["radio", "submit", "radio", "range", "radio"]
    assert [kind.replace("button", "submit") for kind, _, _ in reached] == kinds
    assert [card for _, card, _ in reached] == ["noise"] * 4 + ["gain"]
    assert all(outline != "none" for _, _, outline in reached)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_and_pictures_are_aligned(browser: Browser, page: Path, width: int) -> None:
    browser.open(page.as_uri(), width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    boxes: list[list[dict[str, Any]]] = browser.evaluate(
        """[...document.querySelectorAll('.effect')].map(card => [...card.querySelectorAll('.plot')]
          .filter(plot => plot.checkVisibility()).map(plot => plot.getBoundingClientRect().toJSON()))"""
    )
    assert len(boxes) == 12
    for before, after in boxes:
        assert before["width"] == pytest.approx(after["width"], abs=0.1)
        assert before["height"] == after["height"] > 100
        same = "x" if width < 600 else "y"  # one above the other, or side by side
        assert before[same] == pytest.approx(after[same], abs=0.1)
    targets = browser.evaluate(
        """[...document.querySelectorAll('.play, .choice label, nav a')]
          .map(target => target.getBoundingClientRect().height)"""
    )
    assert min(targets) >= 24


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_by_day_and_by_night(browser: Browser, page: Path, *, dark: bool) -> None:
    browser.open(page.as_uri(), dark=dark)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 24, 27)" if dark else "rgb(246, 245, 242)")
    contrasts = browser.evaluate(CONTRASTS.replace("'title'", "'SCRIPT'"))
    assert len(contrasts) > 200
    assert contrasts[0][0] >= 4.5, contrasts[:3]


def test_without_its_script_the_browser_plays_every_sound(browser: Browser, page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (tmp_path / "bare.html").write_text(text[: text.index("<script>")], encoding="utf-8")
    browser.open((tmp_path / "bare.html").as_uri())
    visible = "[...document.querySelectorAll('{}')].filter(each => each.checkVisibility()).length"
    assert browser.evaluate(visible.format("audio")) == 35
    assert browser.evaluate(visible.format("figure")) == 12 + 34
    assert browser.evaluate(visible.format(".controls")) == 0
