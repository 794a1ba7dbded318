"""The whole page: one file that needs no network, with the sound and the pictures in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

from clmr.augment.listen.cards import effect_card, recording_card
from clmr.augment.listen.heard import Heard
from clmr.augment.listen.markup import Markup, element, join
from clmr.augment.listen.output import together, write
from clmr.augment.listen.recording import SAMPLE_RATE, Recording
from clmr.augment.listen.studio import Studio
from clmr.augment.listen.words import number

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
NAME = "listen.html"  # of a page for which a folder was given
HOW = (
    "Choose a setting, press Play and switch between Before and After: the sound goes on at the same place. The line "
    "in a picture shows where; a click on the picture goes there. The pictures are mel spectrograms, all in one scale "
    "of colour: from {top} dB against a full-scale sine, the brightest, down to {bottom} dB and less, black."
)


def write_page(target: Path, recording: Recording, heard: Iterable[Heard], seed: int) -> Path:
    """Write the page; it appears whole or not at all.

    Args:
        target: a file that ends in ``.html``, or a folder.
        recording: what the effects were applied to.
        heard: what they made of it.
        seed: of the noise and of the chain's draws, to be told.

    Returns:
        The file written.
    """
    file = target if target.suffix.lower() in {".html", ".htm"} else target / NAME
    shown = list(heard)
    studio = Studio.of(recording.audio[0, 0], shown, SAMPLE_RATE)
    effects = [effect_card(studio, effect) for effect in shown if effect.operation]
    chains = [effect_card(studio, effect) for effect in shown if not effect.operation]
    contents = (element("a", effect.title, href=f"#{effect.slug}") for effect in shown)
    body = element(
        "body",
        element(
            "header",
            element("p", "Hear and see", class_="eyebrow"),
            element("h1", "Augmentations"),
            element("p", _facts(recording, studio, seed), class_="note"),
            element("p", _how(studio), class_="how"),
            element("nav", *contents, aria_label="Effects"),
        ),
        element(
            "main",
            _section("The recording", [recording_card(studio, recording.name)]),
            _section("Effects", effects),
            _section("The whole chain", chains),
        ),
        element("script", Markup(SCRIPT.read_text(encoding="utf-8"))),
        data_seconds=f"{studio.seconds:.6f}",
    )
    document = join(Markup("<!doctype html>\n"), element("html", _head(), body, lang="en"))
    with together(file.parent) as staging:
        write(staging / file.name, document.encode())
    return file


def _section(title: str, cards: list[Markup]) -> Markup | None:
    anchor = title.lower().replace(" ", "-")
    return element("section", element("h2", title, id_=anchor), *cards, aria_labelledby=anchor) if cards else None


def _facts(recording: Recording, studio: Studio, seed: int) -> Markup:
    extent = f"{recording.seconds:.1f} s"
    if recording.begin or recording.left_out:
        extent += f" from {recording.begin:g} s on"
    volume = ""
    if studio.volume < 1:
        volume = f", everything played at {100 * studio.volume:.0f} % so that nothing clips"
    return join(
        element("bdi", recording.name),
        f" \N{MIDDLE DOT} {extent} \N{MIDDLE DOT} mono, {SAMPLE_RATE:,} Hz \N{MIDDLE DOT} seed {seed}{volume}",
    )


def _how(studio: Studio) -> str:
    return HOW.format(top=number(studio.scale.top), bottom=number(studio.scale.bottom))


def _head() -> Markup:
    style = STYLE.read_text(encoding="utf-8")
    script = SCRIPT.read_text(encoding="utf-8")
    # Only this style sheet, this script and what lies in the page: nothing else can run, nothing can be fetched.
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        f"media-src data:; base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("title", "Augmentations to hear and see"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(style)),
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
