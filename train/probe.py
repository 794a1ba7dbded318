"""Linear probe on frozen features: how linearly separable the tags are (paper section 2.6).

    python train/probe.py --features runs/mtat/features --out runs/mtat/probe
    python train/probe.py --features runs/mtat/features --out runs/mtat/probe-1 --label-fraction 0.01

Writes scores.json (protocol, test scores of every seed, mean and spread), tags.csv (the scores of every tag) and
predictions.npz (the probabilities of the test tracks). docs/probing.md tells the presets apart.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from clmr.errors import ConfigError, one_line_errors
from sharding.publish import publish
from train.probing.fitting import FittedHead, fit_heads, hardly_trained
from train.probing.head import HeadSettings
from train.probing.protocol import describe, describe_protocol
from train.probing.scores import predict, score_head, summarise, write_predictions, write_tags
from train.probing.settings import PRESETS, ProbeSettings
from train.probing.splits import ProbeData, load_data

OF_ADAM = ("learning_rate", "weight_decay", "batch_size", "patience", "max_epochs")


def choose_settings(preset: str, **given: Any) -> ProbeSettings:
    """A preset with what was given in its place; None leaves the preset's choice.

    Raises:
        ConfigError: choices that exclude each other.
    """
    settings = PRESETS[preset]
    given = {name: value for name, value in given.items() if value is not None}
    needless = [name for name in OF_ADAM if name in given]
    if settings.solver == "lbfgs" and needless:
        option = f"--{needless[0].replace('_', '-')}"
        raise ConfigError(f"{option} is Adam's, and --preset fast takes no steps; leave it out or use --preset paper")
    of_head = {name: given.pop(name) for name in [each.name for each in fields(HeadSettings)] if name in given}
    return replace(settings, head=replace(settings.head, **of_head), **given)


def check(fitted: FittedHead, data: ProbeData, settings: ProbeSettings) -> dict[str, float]:
    """Fit the same problem by scikit-learn, say how far scores differ, and return that."""
    from train.probing.independent import compare

    found = compare(fitted, data.train, data.valid, settings, data.task)
    click.echo(
        f"check     validation score {found['validation_score']:.6f}, scikit-learn's {found['scikit_learn']:.6f} "
        f"({found['validation_score'] - found['scikit_learn']:+.1e}); probabilities differ by "
        f"{found['largest_probability_difference']:.1e} at most"
    )
    return found


@click.command(context_settings={"show_default": True})
@click.option("--features", required=True, type=click.Path(path_type=Path), help="Feature folder of train/embed.py.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the scores.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="paper", help="What the options below begin with.")
@click.option("--head", "kind", type=click.Choice(["linear", "mlp"]), help="mlp: one hidden layer.  [default: linear]")
@click.option("--task", type=click.Choice(["auto", "tags", "classes"]), help="[default: auto, by the labels]")
@click.option(
    "--aggregation",
    type=click.Choice(["probability", "logit", "feature"]),
    help="What is averaged over a track's windows.  [default: probability]",
)
@click.option("--untagged", type=click.Choice(["keep", "drop"]), help="Tracks without a label.  [default: keep]")
@click.option(
    "--last-window",
    type=click.Choice(["keep", "official"]),
    help="A whole last window, which the authors' code drops in test.  [default: the preset's]",
)
@click.option("--label-fraction", type=float, help="Share of the training songs, whole songs.  [default: 1]")
@click.option("--subset-seed", type=int, help="Which songs.  [default: 0]")
@click.option("--seeds", type=click.IntRange(min=1), default=3, help="Heads trained; fast draws nothing and fits one.")
@click.option("--first-seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Seed of the first head.")
@click.option("--learning-rate", type=float, help="Of Adam.  [default: paper 3e-4, official 1e-3]")
@click.option("--weight-decay", type=float, help="Of Adam.  [default: 1e-6]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Windows per step.  [default: paper 256, official 48]")
@click.option("--patience", type=click.IntRange(min=1), help="Epochs without gain.  [default: paper 5, official 10]")
@click.option("--max-epochs", type=click.IntRange(min=1), help="Epochs at most.  [default: paper 500, official 200]")
@click.option("--check", "checked", is_flag=True, help="With --preset fast: fit with scikit-learn too, and compare.")
@one_line_errors()
def main(features: Path, out: Path, preset: str, seeds: int, first_seed: int, checked: bool, **given: Any) -> None:
    """Fit a head on the training split, choose by the validation split, score the test split once."""
    settings = choose_settings(preset, **given)
    if checked and settings.solver != "lbfgs":
        raise ConfigError("--check compares the minimum of a convex function; give --preset fast")
    data = load_data(features, settings)
    fitted = fit_heads(data.train, data.valid, settings, data.task, list(range(first_seed, first_seed + seeds)))
    if warning := hardly_trained(fitted, settings, data.train.features.shape[1]):
        click.echo(warning, err=True)
    agreement = {"check": check(fitted[0], data, settings)} if checked else {}
    predicted = [predict(head, data.test, settings, data.task) for head in fitted]
    test = [score_head(head, each, data) for head, each in zip(fitted, predicted, strict=True)]
    protocol = describe_protocol(data, settings, [head.seed for head in fitted])
    result = {"protocol": protocol, "summary": summarise(test), "test": test, **agreement}
    write_tags(test, out / "tags.csv")
    write_predictions(predicted, data, out / "predictions.npz")
    with publish(out / "scores.json") as path:
        path.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    click.echo(describe(result))


if __name__ == "__main__":
    main()
