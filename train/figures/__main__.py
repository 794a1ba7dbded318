"""The paper's figures from one command each: python -m train.figures NAME ... --out DIR."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from clmr.errors import ConfigError, one_line_errors
from train.figures.scores import METRICS, Scored, by_name, find_scores, split_name

F = TypeVar("F", bound=Callable[..., Any])
OUT = click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
METRIC = click.option("--metric", type=click.Choice(list(METRICS)), default="tag.pr_auc", show_default=True)
PAPER = click.option(
    "--paper/--no-paper", default=None, help="Draw the paper's scores.  [default: of its data set only]"
)
SYSTEMS = "Scores under a name; several of one name are runs of different seeds. May be repeated."
FOLDER = click.Path(path_type=Path, file_okay=False)


def probes(metavar: str, text: str, *, required: bool = True) -> Callable[[F], F]:
    """The option --probe."""
    return click.option("--probe", "given", required=required, multiple=True, metavar=metavar, help=text)


def number(text: str, option: str, lowest: float, highest: float = float("inf")) -> float:
    """A number in a range.

    Raises:
        ConfigError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (lowest <= value <= highest and math.isfinite(value)):
        raise ConfigError(
            f"{option}: {text!r} is no number of {lowest:g}" + (f" to {highest:g}" if highest < 1e9 else " or more")
        )
    return value


@click.group()
def main() -> None:
    """Draw one of the paper's figures: DIR/NAME.png, .svg where it is small, and its numbers as .json and .csv."""


@main.command()
@click.option("--features", "given", required=True, multiple=True, metavar="NAME=DIR", help="Dump; may be repeated.")
@OUT
@click.option("--split", default="valid", show_default=True, help="Where the tracks are drawn from.")
@click.option("--tracks", type=click.IntRange(min=2), default=10, show_default=True)
@click.option("--windows", type=click.IntRange(min=2), default=60, show_default=True, help="Of each track, at most.")
@click.option("--perplexity", type=float, help="Of t-SNE.  [default: the windows of a track, at most 30]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of tracks and t-SNE.")
@one_line_errors()
def tsne(given: tuple[str, ...], out: Path, **options: Any) -> None:
    """Windows of some tracks in two dimensions (Figures 8 and C.1)."""
    from train.figures.tsne import TsneSettings, draw_tsne

    dumps = {name: Path(folder) for name, folder in (split_name(each, "--features", "NAME=DIR") for each in given)}
    _say(out, draw_tsne(dumps, TsneSettings(**options), out))


@main.command()
@probes("NAME=DIR", SYSTEMS)
@OUT
@click.option("--metric", type=click.Choice(["roc_auc", "pr_auc"]), default="roc_auc", show_default=True)
@one_line_errors()
def tags(given: tuple[str, ...], out: Path, metric: str) -> None:
    """Score of every tag, sorted by the first system's (Figure C.2)."""
    from train.figures.tags import draw_tags

    _say(out, draw_tags(by_name(given), out, metric))


@main.command()
@click.option("--run", type=FOLDER, help="A run: its newest checkpoint is taken.")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), help="One checkpoint, instead of --run.")
@OUT
@click.option("--layer", "layers", type=int, multiple=True, help="From 1; may be repeated.  [default: all it can]")
@click.option("--name", help="In the title.  [default: the checkpoint's file]")
@click.option("--steps", default=100, show_default=True, help="Of the gradient ascent.")
@click.option("--step-size", default=0.1, show_default=True, help="RMS of a step over the waveform's.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the noise it begins with.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@one_line_errors()
def filters(
    run: Path | None,
    checkpoint: Path | None,
    out: Path,
    layers: tuple[int, ...],
    name: str | None,
    device: str,
    **options: Any,
) -> None:
    """Spectra of what each layer's filters listen for (Figures 7 and C.3)."""
    from train.embed import open_encoder
    from train.figures.ascent import AscentSettings
    from train.figures.filters import draw_filters, to_device

    if (run is None) == (checkpoint is None):
        raise ConfigError("give --run or --checkpoint, one of the two")
    settings = AscentSettings(**options)
    encoder, file = open_encoder(run, checkpoint)
    _say(out, draw_filters(to_device(encoder, device), name or file, encoder.sample_rate, settings, out, layers))


@main.command()
@probes("NAME=DIR", "Scores under a name, or a folder of such folders; of all shares of labels. May be repeated.")
@OUT
@METRIC
@PAPER
@one_line_errors()
def labels(given: tuple[str, ...], out: Path, metric: str, paper: bool | None) -> None:
    """Score against the share of the labels (Figures 5 and 6)."""
    from train.figures.labels import draw_labels

    _say(out, draw_labels(by_name(given), out, metric, paper=paper))


@main.command()
@click.option("--run", "runs", multiple=True, metavar="NAME=DIR", help="Run with probe.jsonl; may be repeated.")
@probes("EPOCHS=DIR", "Scores of a run of so many epochs. May be repeated, also for seeds.", required=False)
@OUT
@METRIC
@PAPER
@one_line_errors()
def epochs(runs: tuple[str, ...], given: tuple[str, ...], out: Path, metric: str, paper: bool | None) -> None:
    """Score against epochs of pretraining (Table 5)."""
    from train.figures.epochs import draw_epochs

    folders = {name: Path(folder) for name, folder in (split_name(each, "--run", "NAME=DIR") for each in runs)}
    scored: dict[float, list[Scored]] = {}
    for each in given:
        text, folder = split_name(each, "--probe", "EPOCHS=DIR")
        scored.setdefault(number(text, f"--probe {each}", 0), []).extend(find_scores(Path(folder)))
    _say(out, draw_epochs(folders, scored, out, metric, paper=paper))


@main.command()
@probes("NAME=DIR", SYSTEMS)
@click.option(
    "--parameters", "counts", multiple=True, metavar="NAME=COUNT", help="Where the checkpoint is not at hand."
)
@OUT
@METRIC
@PAPER
@one_line_errors()
def parameters(given: tuple[str, ...], counts: tuple[str, ...], out: Path, metric: str, paper: bool | None) -> None:
    """Score against the number of parameters (Figure 1)."""
    from train.figures.parameters import draw_parameters

    counted = {}
    for each in counts:
        name, text = split_name(each, "--parameters", "NAME=COUNT")
        counted[name] = int(number(text, f"--parameters {each}", 1))
    _say(out, draw_parameters(by_name(given), out, metric, counts=counted, paper=paper))


@main.command()
@probes("NAME=P=DIR", "Scores of a run with augmentation NAME at probability P. May be repeated, also for seeds.")
@OUT
@METRIC
@PAPER
@one_line_errors()
def probability(given: tuple[str, ...], out: Path, metric: str, paper: bool | None) -> None:
    """Score against the probability of one augmentation (Figure 4)."""
    from train.figures.probability import draw_probability

    scored: dict[tuple[str, float], list[Scored]] = {}
    for each in given:
        name, rest = split_name(each, "--probe", "NAME=P=DIR")
        text, folder = split_name(rest, "--probe", "NAME=P=DIR")
        chance = number(text, f"--probe {each}", 0, 1)
        scored.setdefault((name, chance), []).extend(find_scores(Path(folder)))
    _say(out, draw_probability(scored, out, metric, paper=paper))


def _say(out: Path, data: Any) -> None:
    """What was drawn, and where it is."""
    click.echo(f"{out}: {data.title}; {len(data.rows)} rows of numbers")


if __name__ == "__main__":
    main(prog_name="python -m train.figures")
