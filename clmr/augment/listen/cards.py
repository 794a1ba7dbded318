"""One card per effect: what it does, what is drawn of it, the settings, the player and the pictures."""

from __future__ import annotations

from clmr.augment.chain import Chain
from clmr.augment.listen.heard import Clip, Heard
from clmr.augment.listen.markup import Content, Markup, element
from clmr.augment.listen.studio import Studio
from clmr.augment.listen.words import ranges

LONG = 24  # letters of a setting beyond which each has a line of its own
DRAWN = ("paper", "official")


def recording_card(studio: Studio, name: str) -> Markup:
    """The recording as it is, before any effect."""
    return element(
        "article",
        element("h3", "Before"),
        element("p", "The recording that every effect below was applied to.", class_="about"),
        studio.player(studio.before, f"{name}, before any effect", id_="before"),
        studio.picture(studio.before, "before any effect"),
        class_="recording",
    )


def effect_card(studio: Studio, effect: Heard) -> Markup:
    """One effect, or one chain."""
    figures = [
        element(
            "figure",
            element("figcaption", element("b", "Before")),
            studio.picture(studio.before, "before", waveform=effect.waveform),
            class_="before",
        )
    ]
    for clip in effect.clips:
        name = f"{effect.title}, {clip.setting}"
        figures.append(
            element(
                "figure",
                element("figcaption", element("b", "After"), " ", clip.setting),
                studio.picture(clip.audio, name, waveform=effect.waveform),
                studio.player(clip.audio, name),
                class_="after",
            )
        )
    return element(
        "article",
        element("h3", effect.title),
        element("p", effect.about, class_="about"),
        _drawn(effect.operation, studio.sample_rate) if effect.operation else None,
        _controls(effect, studio.seconds),
        element("div", *figures, class_="pictures"),
        class_="effect",
        id_=effect.slug,
    )


def _drawn(operation: str, sample_rate: int) -> Markup:
    """What each preset draws of one augmentation."""
    rows = []
    for preset in DRAWN:
        of_name = [each for each in Chain.preset(preset, sample_rate).operations if each.name == operation]
        words = ranges(of_name[0]) if of_name else "not in this preset"
        rows.append(element("div", element("dt", preset), element("dd", words)))
    return element("dl", *rows, class_="drawn")


def _controls(effect: Heard, seconds: float) -> Markup:
    """For the page's script, which shows them: settings, before or after, play, and where."""
    settings = [
        _radio(f"{effect.slug}-setting", str(number), element("b", _level(clip, effect)), " ", clip.setting)
        for number, clip in enumerate(effect.clips)
    ]
    long = max(len(clip.setting) for clip in effect.clips) > LONG
    return element(
        "div",
        element(
            "fieldset",
            element("legend", "Setting" if effect.operation else "View"),
            *settings,
            class_="choice settings long" if long else "choice settings",
        )
        if len(settings) > 1
        else None,
        element(
            "div",
            element("button", "Play", type_="button", class_="play", aria_label=f"Play {effect.title}"),
            element(
                "fieldset",
                element("legend", "Hear", class_="unseen"),
                _radio(f"{effect.slug}-heard", "before", "Before"),
                _radio(f"{effect.slug}-heard", "after", "After", checked=True),
                class_="choice heard",
            ),
            element(
                "input",
                type_="range",
                min_=0,
                max_=f"{seconds:.3f}",
                step=0.01,
                value=0,
                aria_label=f"Position in {effect.title}, seconds",
            ),
            element("output", "0.0 s"),
            class_="transport",
        ),
        class_="controls",
    )


def _level(clip: Clip, effect: Heard) -> str:
    return clip.level if effect.operation else f"View {clip.level}"


def _radio(name: str, value: str, *words: Content, checked: bool = False) -> Markup:
    # A browser keeps the choices of a page that is loaded again; this page begins as it is written.
    box = element("input", type_="radio", name_=name, value=value, checked=checked, autocomplete="off")
    return element("label", box, element("span", *words))
