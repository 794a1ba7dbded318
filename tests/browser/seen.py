"""What a page shows and asks for, as the browser sees it."""

from __future__ import annotations

from typing import Any

from tests.browser.devtools import Browser

# For every text: its contrast against what lies behind it, by the formula of WCAG 2.1.
CONTRASTS = """
(() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = numbers(colour).map(c => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour).length < 4) return colour;
    }
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.tagName == 'title') continue;
    const style = getComputedStyle(element);
    const [a, b] = [element.namespaceURI.endsWith('svg') ? style.fill : style.color, behind(element)].map(luminance);
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), texts.currentNode.data.trim().slice(0, 20)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
})()
"""


def complaints(browser: Browser) -> list[dict[str, Any]]:
    """Errors, warnings and refusals of the page since it was opened."""
    kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    return [event["params"] for event in browser.events if event["method"] in kinds]


def requests(browser: Browser) -> list[str]:
    """Addresses that were asked for, less what lies in the page itself."""
    asked = (event for event in browser.events if event["method"] == "Network.requestWillBeSent")
    addresses = [event["params"]["request"]["url"] for event in asked]
    return [address for address in addresses if not address.startswith("data:")]
