"""What probes scored on the test split, each with its protocol, and the tags they are best and worst at."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clmr.errors import FeatureError
from sharding.page.markup import Content, Markup, element, name
from train.labelled.scores import describe as describe_supervised
from train.page.asked import words
from train.page.parts import Row, facts, fold, missing, section, tiles
from train.page.run import PageRequest, Run
from train.probing.protocol import describe as describe_probe
from train.spread import Spread

BEST = 8
METRICS = (
    ("tag", "roc_auc", "Tag ROC-AUC"),
    ("tag", "pr_auc", "Tag PR-AUC"),
    ("item", "roc_auc", "Track ROC-AUC"),
    ("item", "pr_auc", "Track PR-AUC"),
)
NOTHING_RANKED: dict[str, Any] = {"roc_auc": None, "pr_auc": None, "per_tag": {}}
Head = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """One scores.json."""

    protocol: dict[str, Any]
    heads: list[Head]
    """Scores of each head, or of the one supervised network, by ``tag`` and ``item``."""
    printed: list[Row]
    """What the program that wrote them says of them, less the scores."""


def find_scores(request: PageRequest) -> list[Path]:
    """Folders with a scores.json: those that were named, else the run's own and the ones right below it."""
    if request.probes:
        return list(request.probes)
    return sorted(path.parent for pattern in ("scores.json", "*/scores.json") for path in request.run.glob(pattern))


def read_scores(folder: Path) -> Scores:
    """A scores.json, of a probe or of a supervised run.

    Raises:
        FeatureError: missing or damaged.
    """
    path = folder / "scores.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        printed = _printed(result)
        test = result["test"]
        heads = test if isinstance(test, list) and test else [test]
        for head in heads:
            for kind, metric, _ in METRICS:
                head[kind] = head[kind] if head[kind] is not None else NOTHING_RANKED
                _number(head[kind][metric])
            for scores in head["tag"]["per_tag"].values():
                float(scores["roc_auc"]), float(scores["pr_auc"]), int(scores["positives"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FeatureError(f"{path} is missing or damaged ({type(error).__name__}); score again") from error
    return Scores(result["protocol"], heads, printed)


def scores_section(run: Run, request: PageRequest, features: Path) -> Markup:
    """A card for each folder of scores."""
    folders = find_scores(request)
    if not folders:
        command = ("python", "train/probe.py", "--features", features, "--out", run.folder / "probe")
        return section("Scores", missing("Not probed yet", *command))
    cards = []
    for folder in folders:
        try:
            cards.append(_card(run, folder, read_scores(folder)))
        except FeatureError as error:
            cards.append(missing(str(error)))
    return section("Scores", *cards, note="On the test split, which nothing was chosen by.")


def _card(run: Run, folder: Path, scores: Scores) -> Markup:
    test, protocol = scores.heads, scores.protocol
    own = folder.resolve() == run.folder.resolve()
    numbers: list[tuple[str, str, Content]] = []
    if all("accuracy" in head for head in test):
        numbers.append(("Accuracy", *_spread([head["accuracy"] for head in test], "")))
    for kind, metric, label in METRICS:
        numbers.append((label, *_spread([head[kind][metric] for head in test], _chance(protocol, kind, metric))))
    return element(
        "article",
        element("h3", "The network's own scores" if own else name(folder.name)),
        tiles(numbers),
        facts(scores.printed),
        *_tags(test),
        class_="probe",
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _spread(values: Sequence[float | None], chance: str) -> tuple[str, str]:
    """The mean in three decimals, and under it spread and chance."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "\N{EN DASH}", "not defined here"
    spread = Spread.of(known)
    deviation = "" if spread.deviation is None else f"\N{PLUS-MINUS SIGN} {spread.deviation:.3f}, {len(known)} heads"
    return f"{spread.mean:.3f}", "; ".join(filter(None, [deviation, chance]))


def _chance(protocol: dict[str, Any], kind: str, metric: str) -> str:
    """What guessing scores: 0.5 of ROC-AUC; of PR-AUC a tag's share of the tracks, on average."""
    if metric == "roc_auc":
        return "chance 0.5"
    shares = protocol.get("test_prevalence")
    if kind == "item" or not isinstance(shares, dict) or not shares:
        return ""
    ranked = [float(share) for share in shares.values() if 0 < share < 1]
    return f"chance {math.fsum(ranked) / len(ranked):.3f}" if ranked else ""


def _printed(result: dict[str, Any]) -> list[Row]:
    """The lines of the program that made the scores; of an earlier version's, the plain values of the protocol."""
    for describe in (describe_probe, describe_supervised):
        try:
            lines = describe(result).split("\n")
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        pairs = [(line[:10].strip(), line[10:].strip()) for line in lines]
        return [(label, name(text)) for label, text in pairs if label not in {"tag-wise", "item-wise", "accuracy"}]
    plain = [(key, value) for key, value in result["protocol"].items() if not isinstance(value, dict | list)]
    return [(name(key.replace("_", " ")), name(words(value))) for key, value in plain]


def _tags(test: list[dict[str, Any]]) -> list[Markup]:
    """The best tags and the worst, and all of them folded."""
    shared = [tag for tag in test[0]["tag"]["per_tag"] if all(tag in head["tag"]["per_tag"] for head in test)]
    means = {
        tag: tuple(
            Spread.of([float(head["tag"]["per_tag"][tag][metric]) for head in test]).mean
            for metric in ("roc_auc", "pr_auc")
        )
        for tag in shared
    }
    counts = {tag: int(test[0]["tag"]["per_tag"][tag]["positives"]) for tag in shared}
    ranked = sorted(shared, key=lambda tag: (-means[tag][0], tag))
    rows = [(tag, *means[tag], counts[tag]) for tag in ranked]
    if len(rows) <= 2 * BEST:
        return [element("h4", "Tags, best first"), _bars(rows)] if rows else []
    return [
        element(
            "div",
            element("div", element("h4", f"Best {BEST} of {len(rows)} tags"), _bars(rows[:BEST])),
            element("div", element("h4", f"Worst {BEST}"), _bars(rows[-BEST:])),
            class_="columns",
        ),
        fold(f"All {len(rows)} tags", _bars(rows)),
    ]


def _bars(rows: Sequence[tuple[Any, ...]]) -> Markup:
    """Tags with bars that begin at chance."""
    head = [
        element("th", "tag", scope="col"),
        element("th", element("span", "bar from 0.5 to 1", class_="unseen"), scope="col", class_="wide"),
        element("th", "ROC-AUC", scope="col"),
        element("th", "PR-AUC", scope="col", class_="extra"),
        element("th", "tracks", scope="col", class_="extra"),
    ]
    body = (
        element(
            "tr",
            element("th", element("span", name(tag), class_="one-line", title=tag), scope="row"),
            element(
                "td",
                element(
                    "svg",
                    element("rect", width=f"{200 * min(max(roc_auc - 0.5, 0.0), 0.5):.1f}%", height="100%"),
                    class_="bar",
                    aria_hidden="true",
                ),
                class_="wide",
            ),
            element("td", f"{roc_auc:.3f}"),
            element("td", f"{pr_auc:.3f}", class_="extra"),
            element("td", f"{positives:,}", class_="extra"),
        )
        for tag, roc_auc, pr_auc, positives in rows
    )
    return element("table", element("thead", element("tr", *head)), element("tbody", *body), class_="tags")
