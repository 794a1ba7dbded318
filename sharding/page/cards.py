"""Tracks to look at and to listen to, a card for each."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from sharding.page.choice import Track
from sharding.page.excerpt import LONGEST_SECONDS, Excerpt, encode_mp3, read_excerpt
from sharding.page.markup import Markup, element, join, name
from sharding.page.sections import section, source_name
from sharding.page.units import clock, decibels, level, some
from sharding.page.waveform import waveform
from sharding.storage import Place


def tracks_section(place: Place, tracks: Sequence[Track], sample_rate: int, seed: int) -> Markup | None:
    """Read every track's excerpt and show it.

    Raises:
        ShardError: a shard is missing or too short.
    """
    if not tracks:
        return None
    cards = (_card(track, read_excerpt(place, track, sample_rate), sample_rate) for track in tracks)
    return section(
        "Tracks",
        element("div", *cards, class_="cards"),
        note=f"{len(tracks)} drawn at random with seed {seed}, no two of one song. A waveform is drawn at full scale "
        f"and shows what its player plays: the whole track, or the middle {LONGEST_SECONDS} s of a longer one, here "
        f"as MP3.",
    )


def _card(track: Track, excerpt: Excerpt, sample_rate: int) -> Markup:
    spoken = track.source.split("\n")[0]
    extent = clock(track.frames / sample_rate)
    played = clock(len(excerpt.pcm) / sample_rate)
    if len(excerpt.pcm) < track.frames:
        begin, end = excerpt.start / sample_rate, (excerpt.start + len(excerpt.pcm)) / sample_rate
        extent = f"{extent}, played from {clock(begin)} to {clock(end)}"
    clipped = f"{some(track.clipped, 'sample')} clipped" if track.clipped else None
    facts = filter(
        None, [extent, f"peak\N{NO-BREAK SPACE}{level(decibels(track.peak))}\N{NO-BREAK SPACE}dBFS", clipped]
    )
    audio = base64.b64encode(encode_mp3(excerpt.pcm, sample_rate)).decode()
    return element(
        "article",
        element("p", element("i", class_=f"swatch split-{track.split}"), track.split, class_="eyebrow"),
        element("h3", source_name(track.source), title=spoken),
        waveform(excerpt.pcm, f"Waveform of {spoken}, {played}"),
        element(
            "audio", controls=True, preload="none", src=f"data:audio/mpeg;base64,{audio}", aria_label=f"Play {spoken}"
        ),
        element("p", " \N{MIDDLE DOT} ".join(facts), class_="note"),
        element("p", join("song ", name(track.song_id)), class_="note one-line", title=track.song_id),
        element("ul", *(element("li", name(label), title=label) for label in track.labels), class_="chips")
        if track.labels
        else None,
    )
