"""Figures of the run: those that lie in RUN/figures, and t-SNE of its features, which is drawn where it is missing."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from clmr.errors import ClmrError, FeatureError
from sharding.page.markup import Markup, element, name
from train.features import open_features
from train.figures.tsne import TsneSettings, draw_tsne
from train.page.parts import missing, section
from train.page.run import Run

MOST_BYTES = 900_000  # of all pictures: the page stays below 4 MB


def pictures_section(run: Run, features: Path) -> Markup:
    """The figures, as many as the page has room for, and for the others the commands."""
    folder = run.folder / "figures"
    shown: list[Markup] = []
    lines: list[Markup] = []
    left = MOST_BYTES
    with TemporaryDirectory() as elsewhere:
        paths = sorted(folder.glob("*.png"))
        if (features / "features.json").exists():
            own = features.resolve() == (run.folder / "features").resolve()
            out = folder if own else Path(elsewhere)  # of other features: not for the run's folder
            try:
                _draw_tsne(features, out)
                paths = [*(path for path in paths if path.name != "tsne.png"), out / "tsne.png"]
            except ClmrError as error:
                lines.append(missing(f"No t-SNE of the features: {error}"))
        for path in paths:
            picture = path.read_bytes()
            if len(picture) <= left:
                shown.append(_figure(path, picture))
                left -= len(picture)
            else:
                lines.append(missing(f"{path} is left out: with it the page would be too large"))
    if run.kind == "pretrain" and not (folder / "filters.png").exists():
        command = ("python", "-m", "train.figures", "filters", "--run", run.folder, "--out", folder)
        lines.append(missing("What the filters listen for is not drawn yet", *command))
    if not shown and not lines:
        lines = [missing("No figures yet: t-SNE needs features, see Neighbours")]
    return section("Figures", element("div", *shown, class_="columns") if shown else None, *lines)


def _draw_tsne(features: Path, out: Path) -> None:
    """t-SNE of the valid split's windows, of as many tracks up to ten as there are; kept until the features change."""
    made, source = out / "tsne.json", features / "features.json"
    if (out / "tsne.png").exists() and made.exists() and made.stat().st_mtime >= source.stat().st_mtime:
        return
    dump = open_features(features)
    fit = int(((dump.split == "valid") & (dump.windows > 1)).sum())
    if fit < 2:
        raise FeatureError("the validation split has fewer than two tracks of two windows or more")
    draw_tsne({"features": features}, TsneSettings(tracks=min(10, fit)), out)


def _figure(path: Path, picture: bytes) -> Markup:
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        title, caption = str(about["title"]), str(about["caption"])
    except (OSError, ValueError, KeyError, TypeError):
        title, caption = path.stem, ""
    address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return element(
        "figure",
        element("img", src=address, alt=title),
        # Both stand in the picture too, in letters too small for a telephone, where alone this is shown.
        element("figcaption", element("b", name(title)), " ", name(caption), class_="phone"),
        class_="picture",
    )
