"""The whole page: one file that needs no network, runs no script, and is the same for the same shards and seed."""

from __future__ import annotations

import os
from pathlib import Path

from clmr.errors import ConfigError
from sharding.format import open_shards
from sharding.page.cards import tracks_section
from sharding.page.choice import choose_tracks
from sharding.page.facts import count_facts
from sharding.page.frame import page_head
from sharding.page.markup import Markup, element, join
from sharding.page.sections import (
    header,
    labels_section,
    making_section,
    signal_section,
    skipped_section,
    splits_section,
)
from sharding.publish import publish
from sharding.storage import URL

STYLE = Path(__file__).with_name("style.css")


def write_page(
    shards: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, tracks: int = 12, seed: int = 0
) -> Path:
    """Write a page about a folder of shards; it appears whole or not at all.

    Args:
        shards: their path or URL.
        out: the file to write; by default ``page.html`` beside the manifest, or in the working directory where the
            shards are in a bucket.
        tracks: how many tracks to show, 0 or more.
        seed: of the draw of these tracks, 0 or more.

    Returns:
        The file written.

    Raises:
        ConfigError: ``tracks`` or ``seed`` is negative, or ``out`` is no local file.
        ShardError: no shards there, or damaged ones.
    """
    if tracks < 0 or seed < 0:
        raise ConfigError(f"tracks is {tracks} and seed is {seed}; both are 0 or more")
    if out is not None and (URL.match(os.fspath(out)) or Path(out).is_dir()):
        raise ConfigError(f"{out} is a folder or a URL; give the name of a local file, such as page.html")
    shard_set = open_shards(shards)
    target = Path(out) if out is not None else (shard_set.place.root or Path()) / "page.html"
    facts = count_facts(shard_set)
    chosen = choose_tracks(shard_set, tracks, seed)
    body = element(
        "body",
        header(facts),
        element(
            "main",
            splits_section(facts),
            labels_section(facts),
            signal_section(facts),
            tracks_section(shard_set.place, chosen, facts.manifest.sample_rate, seed),
            skipped_section(facts),
            making_section(facts),
        ),
    )
    head = page_head(f"Shards of {facts.manifest.dataset}", STYLE.read_text(encoding="utf-8"))
    document = join(Markup("<!doctype html>\n"), element("html", head, body, lang="en"))
    with publish(target) as temporary:
        temporary.write_text(document, encoding="utf-8")
    return target
