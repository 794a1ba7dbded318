"""A few tracks and the ones nearest to them, to listen to: what the features take for alike."""

from __future__ import annotations

from pathlib import Path

from clmr.errors import FeatureError
from loaders.order.mixture import parse_mixture
from sharding.page.markup import Content, Markup, element, join, name
from sharding.page.sections import source_name
from train.page.hearing import SECONDS, Listening, listen
from train.page.nearest import NEIGHBOURS, SplitTracks, choose_queries, count_sharing, nearest, read_test_tracks
from train.page.parts import missing, section
from train.page.run import PageRequest, Run

TITLE = "Neighbours"
SEED = 0


def neighbours_section(run: Run, request: PageRequest, features: Path) -> Markup:
    """Query tracks of the test split, each with its nearest five of other songs."""
    if not (features / "features.json").exists():
        shards = request.shards or (parse_mixture(run.shards)[0][0] if run.shards else "SHARDS")
        command = ("python", "train/embed.py", "--run", run.folder, "--shards", shards, "--out", features)
        return section(TITLE, missing("No features yet", *command))
    try:
        tracks = read_test_tracks(features)
    except FeatureError as error:
        return section(TITLE, missing(str(error)))
    queries = choose_queries(tracks, SEED).tolist()
    found = {query: nearest(tracks, query) for query in queries}
    if not any(found.values()):
        return section(TITLE, missing("The test split has one song only: it has no neighbours"))
    shown = {*queries, *(track for each in found.values() for track, _ in each)}
    sound = listen(request.shards or tracks.shards, (str(tracks.key[track]) for track in shown), tracks.sample_rate)
    silent = None
    if sound.trouble:
        silent = missing(f"The tracks cannot be heard: {sound.trouble}; give --shards DIR")
    cards = (_card(tracks, query, near, sound) for query, near in found.items() if near)
    note = join(
        f"Cosine of a track's mean window feature with those of all test tracks of other songs; {len(queries)} tracks "
        f"drawn with seed {SEED}. ",
        f"Players have the middle {SECONDS} s, as MP3. " if sound.heard else None,
        "Features of ",
        name(tracks.encoder),
        _age(run, tracks.encoder),
    )
    return section(TITLE, _sharing(tracks), silent, element("div", *cards, class_="queries"), note=note)


def _age(run: Run, encoder: str) -> str:
    """Whether the features are the newest checkpoint's."""
    if run.checkpoint is None or Path(encoder).name == run.checkpoint.name:
        return "."
    return f", which is not the run's newest checkpoint, {run.checkpoint.name}."


def _sharing(tracks: SplitTracks) -> Markup:
    counted = count_sharing(tracks, SEED)
    if counted is None:
        return element("p", "The tracks have no labels: nothing says whether neighbours are alike.", class_="verdict")
    return element(
        "p",
        element("b", f"{counted.near:.0%} of the nearest {NEIGHBOURS} share a label with their query"),
        f"; of tracks drawn at random {counted.chance:.0%} do. They have {counted.near_labels:.2f} labels in common on "
        f"average, and {counted.chance_labels:.2f} at random. Counted over {counted.queries:,} labelled test tracks.",
        class_="verdict",
    )


def _card(tracks: SplitTracks, query: int, near: list[tuple[int, float]], sound: Listening) -> Markup:
    own = set(tracks.names(query))
    rows = (
        element(
            "li",
            element(
                "p",
                element("span", f"{cosine:.3f}", class_="cosine", title="cosine"),
                _title(tracks, track, sound),
            ),
            _player(tracks, track, sound),
            _chips(tracks.names(track), own),
        )
        for track, cosine in near
    )
    return element(
        "article",
        element("p", "Query", class_="eyebrow"),
        element("h3", _title(tracks, query, sound)),
        _player(tracks, query, sound),
        _chips(tracks.names(query), set()),
        element("h4", f"Nearest {len(near)}"),
        element("ol", *rows, class_="near"),
        class_="query",
    )


def _title(tracks: SplitTracks, track: int, sound: Listening) -> Markup:
    key = str(tracks.key[track])
    heard = sound.heard.get(key)
    return element("span", source_name(heard.source) if heard else name(key), title=heard.source if heard else key)


def _player(tracks: SplitTracks, track: int, sound: Listening) -> Markup | None:
    heard = sound.heard.get(str(tracks.key[track]))
    if heard is None:
        return None
    spoken = heard.source.split("\n")[0]
    return element("audio", controls=True, preload="none", src=heard.audio, aria_label=f"Play {spoken}")


def _chips(labels: list[str], shared: set[str]) -> Markup | None:
    """Labels, those of the query first and marked."""
    if not labels:
        return None
    ordered = sorted(labels, key=lambda label: label not in shared)
    return element("ul", *(_chip(label, shared=label in shared) for label in ordered), class_="chips")


def _chip(label: str, *, shared: bool) -> Markup:
    mark: Content = element("span", "shared: ", class_="unseen") if shared else None
    return element("li", mark, name(label), title=label, class_="shared" if shared else None)
