"""The parts of the page that hold numbers, from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharding.page.charts import bin_name, histogram_chart, legend, split_bar
from sharding.page.facts import Facts, LabelFacts, SkippedFacts, SplitFacts
from sharding.page.histogram import Histogram
from sharding.page.markup import Content, Markup, element, join, name
from sharding.page.reasons import meanings
from sharding.page.units import clock, clock_mark, count, hours, level, level_mark, percent, size, some

MOST_LABELS = 50
LABELS_IN_ONE_TABLE = 12


def section(title: str, *content: Content, note: Content = None) -> Markup:
    """A part of the page with its heading and, below it, a note in plain words."""
    anchor = title.lower().replace(" ", "-")
    heading = element("h2", title, id=anchor)
    return element(
        "section", heading, element("p", note, class_="note") if note else None, *content, aria_labelledby=anchor
    )


def header(facts: Facts) -> Markup:
    """The data set, what its samples are, and the totals."""
    manifest, total = facts.manifest, facts.everything
    left_out = manifest.attempted - manifest.written
    tiles = [
        ("tracks", count(manifest.written), f"of {count(manifest.attempted)} attempted"),
        ("hours", hours(total.seconds), f"{clock(total.seconds / max(total.tracks, 1))} per track"),
        ("songs", count(total.songs), f"{total.tracks / max(total.songs, 1):.3g} per song"),
        ("labels", count(len(manifest.labels)), f"{facts.labels_given / max(total.tracks, 1):.3g} per track"),
        ("shards", count(total.shards), size(total.bytes)),
        ("left out", count(left_out), f"{percent(left_out, manifest.attempted)} of attempted"),
    ]
    return element(
        "header",
        element("p", "Shards of", class_="eyebrow"),
        element("h1", name(manifest.dataset)),
        element(
            "p",
            f"Mono, 16 bits, {count(manifest.sample_rate)} Hz \N{MIDDLE DOT} format version ",
            manifest.format_version,
            class_="note",
        ),
        element("dl", *(_tile(*tile) for tile in tiles), class_="tiles"),
    )


def splits_section(facts: Facts) -> Markup:
    """Splits against tracks, hours, songs, shards and bytes."""
    columns = [element("th", column, scope="col") for column in ("split", "tracks", "hours", "songs")]
    columns += [element("th", "shards", scope="col", class_="extra"), element("th", "size", scope="col")]
    parts = {split.name: split.seconds for split in facts.splits}
    words = ", ".join(f"{split.name} {hours(split.seconds)}" for split in facts.splits)
    rows = [_split_row(split) for split in facts.splits]
    leaks = "No song is in more than one."
    if facts.shared_songs:
        leaks = f"Songs that are in more than one: {count(facts.shared_songs)}."
    return section(
        "Splits",
        split_bar(parts, facts.everything.seconds, f"Hours by split: {words}"),
        element(
            "table",
            element("thead", element("tr", *columns)),
            element("tbody", *rows),
            element("tfoot", _split_row(facts.everything)),
            class_="numbers",
        ),
        note=f"The bar shows the hours in each split. {leaks}",
    )


def labels_section(facts: Facts) -> Markup | None:
    """The most frequent labels, with their tracks by split."""
    if not facts.labels:
        return None
    shown = facts.labels[:MOST_LABELS]
    splits = [split.name for split in facts.splits if split.tracks]
    cardinality = facts.labels_given / max(facts.everything.tracks, 1)
    unused = sum(not label.total for label in facts.labels)
    top = f"The {len(shown)} most frequent of {count(len(facts.labels))} labels."
    without = f"tracks without any: {count(facts.unlabelled)}" if facts.unlabelled else "every track has at least one"
    usual = f"A track has {cardinality:.3g} labels on average (the label cardinality); {without}."
    absent = f"Labels on no track: {count(unused)}."
    notes = [top if len(shown) < len(facts.labels) else "", usual, absent if unused else ""]
    tables = 2 if len(shown) > LABELS_IN_ONE_TABLE else 1
    length = -(-len(shown) // tables)
    halves = [shown[begin : begin + length] for begin in range(0, len(shown), length)]
    return section(
        "Labels",
        legend(splits),
        element("div", *(_label_table(half, shown[0].total, splits) for half in halves), class_="columns"),
        note=" ".join(filter(None, notes)),
    )


def signal_section(facts: Facts) -> Markup | None:
    """Durations, peaks and clipping."""
    if facts.durations is None or facts.peaks is None:
        return None
    tracks, samples = facts.clipped_tracks, facts.clipped_samples
    frames = sum(info.frames for info in facts.manifest.shards)
    clipping = (
        f"{some(samples, 'sample')} ({percent(samples, frames)} of all) in {some(tracks, 'track')} lay beyond 16 bits "
        f"and had to be clipped."
        if samples
        else "No sample had to be clipped to fit 16 bits."
    )
    return section(
        "Signal",
        element(
            "div",
            _histogram("Duration", facts.durations, clock_mark, clock),
            _histogram("Peak in dBFS", facts.peaks, level_mark, level),
            class_="columns",
        ),
        note=clipping,
    )


def skipped_section(facts: Facts) -> Markup:
    """What was left out, and why."""
    left_out = sum(skipped.tracks for skipped in facts.skipped)
    sums = (
        f"{count(facts.manifest.attempted)} attempted = {count(facts.manifest.written)} written + "
        f"{count(left_out)} left out."
    )
    if not facts.skipped:
        return section("Left out", note=f"Nothing: {sums}")
    known = meanings()
    columns = element("tr", element("th", "reason", scope="col"), element("th", "recordings", scope="col"))
    rows = (_skipped_row(skipped, known.get(skipped.reason)) for skipped in facts.skipped)
    return section(
        "Left out",
        element("table", element("thead", columns), element("tbody", *rows), class_="numbers reasons"),
        note=sums,
    )


def making_section(facts: Facts) -> Markup:
    """The software and the settings that made the shards."""
    entries = [*facts.manifest.software.items(), *facts.manifest.settings.items()]
    pairs = (
        element("div", element("dt", key.replace("_", " ")), element("dd", name(str(value)))) for key, value in entries
    )
    return section("Made with", element("dl", *pairs, class_="pairs"))


def source_name(source: str) -> Markup:
    """A track's source; of one that was joined from several files, the first and how many more."""
    first, *others = source.split("\n")
    return join(name(first), f" and {some(len(others), 'more file')}" if others else None)


def _tile(label: str, number: str, note: str) -> Markup:
    return element("div", element("dt", label), element("dd", number), element("dd", note, class_="note"))


def _split_row(split: SplitFacts) -> Markup:
    swatch = element("i", class_=f"swatch split-{split.name}")
    heading = element("th", swatch, split.name, scope="row")
    numbers = (element("td", number) for number in (count(split.tracks), hours(split.seconds), count(split.songs)))
    shards = element("td", count(split.shards), class_="extra")
    return element("tr", heading, *numbers, shards, element("td", size(split.bytes)))


def _label_table(labels: Sequence[LabelFacts], most: int, splits: Sequence[str]) -> Markup:
    columns = [
        element("th", "label", scope="col"),
        element("th", element("span", "share", class_="unseen"), scope="col", class_="wide"),
        element("th", "tracks", scope="col"),
        *(element("th", split, scope="col", class_="extra") for split in splits),
    ]
    rows = (
        element(
            "tr",
            element("th", element("span", name(label.name), class_="one-line", title=label.name), scope="row"),
            element("td", split_bar(label.tracks, most), class_="wide"),
            element("td", count(label.total)),
            *(element("td", count(label.tracks[split]), class_="extra") for split in splits),
        )
        for label in labels
    )
    return element("table", element("thead", element("tr", *columns)), element("tbody", *rows), class_="numbers labels")


def _histogram(title: str, bins: Histogram, value: Callable[[float], str], exact: Callable[[float], str]) -> Markup:
    summary = f"{exact(bins.least)} to {exact(bins.most)}, median {exact(bins.median)}, mean {exact(bins.mean)}"
    columns = element("tr", element("th", title.lower(), scope="col"), element("th", "tracks", scope="col"))
    rows = (
        element("tr", element("th", bin_name(bins, number, value), scope="row"), element("td", count(tracks)))
        for number, tracks in enumerate(bins.counts.tolist())
    )
    table = element("table", element("thead", columns), element("tbody", *rows), class_="numbers")
    return element(
        "figure",
        element("h3", title),
        histogram_chart(bins, value, f"Histogram of {title.lower()}: {summary}"),
        element("figcaption", summary),
        element("details", element("summary", f"{title} as a table"), table),
    )


def _skipped_row(skipped: SkippedFacts, meaning: str | None) -> Markup:
    examples = [element("li", source_name(source)) for source in skipped.examples]
    others = skipped.tracks - len(examples)
    return element(
        "tr",
        element(
            "th",
            element("code", name(skipped.reason)),
            element("p", meaning) if meaning else None,
            element("ul", *examples, element("li", f"and {count(others)} more") if others else None),
            scope="row",
        ),
        element("td", count(skipped.tracks)),
    )
