"""The whole page: one file that needs no network and runs no script."""

from __future__ import annotations

import json
from pathlib import Path

from clmr.errors import ConfigError
from sharding.page.frame import page_head
from sharding.page.markup import Content, Markup, element, join, name
from sharding.publish import publish
from train.page.asked import asked_section
from train.page.curves import curves_section, points_of, value
from train.page.neighbours import neighbours_section
from train.page.parts import tiles
from train.page.pictures import pictures_section
from train.page.run import PageRequest, Run, read_run
from train.page.saturation import saturation_section
from train.page.scores import scores_section

STYLE = Path(__file__).with_name("style.css")
SYSTEMS = {"pretrain": "CLMR", "cpc": "CPC", "supervised": "Supervised SampleCNN"}


def write_page(request: PageRequest, out: Path) -> Path:
    """Write the page of a run; it appears whole or not at all. What the run lacks is named in it, with its command.

    Args:
        request: the run, and where its features, scores and shards are.
        out: the file to write.

    Returns:
        ``out``.

    Raises:
        ResumeError: the folder holds no run.
        ConfigError: ``out`` is a folder.
    """
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder; give the name of a file, such as report.html")
    run = read_run(request.run)
    features = request.features if request.features is not None else request.run / "features"
    sections = (
        curves_section(run),
        saturation_section(run),
        scores_section(run, request, features),
        neighbours_section(run, request, features),
        pictures_section(run, features),
        asked_section(run),
    )
    body = element("body", _header(run, features), element("main", *sections))
    head = page_head(f"Run {run.name}", STYLE.read_text(encoding="utf-8"))
    document = join(Markup("<!doctype html>\n"), element("html", head, body, lang="en"))
    with publish(out) as temporary:
        temporary.write_text(document, encoding="utf-8")
    return out


def _header(run: Run, features: Path) -> Markup:
    total, config = run.config["total_steps"], run.config
    tracks = config.get("tracks_trained_on", config.get("tracks"))
    numbers: list[tuple[str, str, Content]] = [("steps", f"{run.steps:,}", f"of {total:,}")]
    if loss := points_of(run.log, "loss"):
        numbers.append(("loss", value(loss[-1][1]), f"from {value(loss[0][1])}"))
    for entries in list(run.probes.values())[:1]:
        scores = points_of(entries, "roc_auc")
        if scores:
            numbers.append(("probe ROC-AUC", f"{scores[-1][1]:.3f}", f"from {scores[0][1]:.3f}, validation"))
    numbers.append(
        ("tracks", f"{tracks:,}" if isinstance(tracks, int) else "?", f"at {config.get('sample_rate', 0):,} Hz")
    )
    numbers.append(("parameters", f"{config.get('parameters', 0):,}", f"width {run.settings.get('width', '?')}"))
    saved = join("checkpoint of ", run.saved_at) if run.saved_at else "no checkpoint"
    return element(
        "header",
        element("p", f"Run of train/{run.kind}.py", class_="eyebrow"),
        element("h1", name(run.name)),
        element(
            "p",
            join(SYSTEMS.get(run.kind, run.kind), " on ", name(_data(run, features))),
            join(" \N{MIDDLE DOT} ", saved),
            class_="note",
        ),
        tiles(numbers),
    )


def _data(run: Run, features: Path) -> str:
    """The data set's name where it is known to the features, and the shards as they were given."""
    try:
        about = json.loads((features / "features.json").read_text(encoding="utf-8"))
        if [about["shards"]] == run.shards:
            return f"{about['dataset']} ({about['shards']})"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return " ".join(run.shards) or "unknown data"
