"""What came of a run: a summary, its curves as a picture, and one HTML page to look at and to listen to.

python train/report.py --run runs/mtat
python train/report.py --run runs/mtat --probe runs/mtat/probe --probe runs/mtat/probe-mlp --out mtat.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clmr.errors import ResumeError, one_line_errors
from sharding.publish import publish
from train.page import PageRequest, write_page
from train.runs.log import read_log, read_probes
from train.settings import read_config, read_pretraining


def draw_loss(
    runs: dict[str, list[dict[str, Any]]], target: Path, probes: dict[str, list[dict[str, Any]]] | None = None
) -> None:
    """Draw loss and contrastive accuracy of some runs (name -> log) over the steps, as a PNG.

    Args:
        runs: name -> entries of log.jsonl.
        target: the picture.
        probes: name -> entries of probe.jsonl, drawn beside them where there are any.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = 3 if probes else 2
    figure, axes = plt.subplots(1, panels, figsize=(4.5 * panels, 3.4), layout="constrained")
    for name, log in runs.items():
        steps = [entry["step"] for entry in log]
        axes[0].plot(steps, [entry["loss"] for entry in log], linewidth=1, label=name)
        axes[1].plot(steps, [entry["contrastive_accuracy"] for entry in log], linewidth=1, label=name)
    axes[0].set(xlabel="step", ylabel="contrastive loss (nats)")
    axes[1].set(xlabel="step", ylabel="positive ranked first (share of anchors)", ylim=(0, 1))
    axes[1].legend(frameon=False, loc="upper left")
    for name, entries in (probes or {}).items():
        steps = [entry["step"] for entry in entries]
        (line,) = axes[2].plot(steps, [entry["roc_auc"] for entry in entries], ".-", linewidth=1, label=name)
        axes[2].axhline(entries[0]["roc_auc"], linewidth=0.8, linestyle=":", color=line.get_color())
    if probes:
        axes[2].set(xlabel="step", ylabel="linear probe, tag ROC-AUC (valid)")
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3, "borderaxespad": 0.2}
        axes[2].legend(frameon=False, title="dotted: where it began", title_fontsize="small", **above)
    for each in axes:
        each.grid(alpha=0.3)
        each.spines[["top", "right"]].set_visible(False)
    with publish(target) as path:
        figure.savefig(path, dpi=150, format="png")
    plt.close(figure)


def probes_by_shards(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The probes of a run during its training: name of the shards -> entries, in order of steps."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for entry in read_probes(run):
        curves.setdefault(entry["shards"], []).append(entry)
    return curves


def describe_probes(run: Path) -> list[str]:
    """A line for each folder of shards that was probed while the run trained."""
    return [
        f"probe     {name}: ROC-AUC {entries[0]['roc_auc']:.4f} at step {entries[0]['step']} -> "
        f"{entries[-1]['roc_auc']:.4f} at step {entries[-1]['step']}, {entries[-1]['valid_tracks']} valid tracks"
        for name, entries in probes_by_shards(run).items()
    ]


def describe_geometry(log: list[dict[str, Any]]) -> list[str]:
    """Where the projections lie, if the log says so; logs of earlier versions do not."""
    known = [entry for entry in log if "uniformity" in entry]
    if not known:
        return []
    last = known[-1]
    alignment, uniformity = (f"{name} {last[name]:.3f}" for name in ("alignment", "uniformity"))
    return [f"geometry  {alignment} (0: views coincide), {uniformity} (0: all coincides, -4: spread evenly)"]


def summarise(run: Path) -> str:
    """The run in a few lines, from its configuration and log."""
    config = read_config(run)
    if config.get("kind") != "cpc":  # which has the same log, of sequences for pairs
        config = read_pretraining(run)
    log = read_log(run)
    if not log:
        raise ResumeError(f"{run}/log.jsonl holds no step yet; let the run take at least one")
    settings, last = config["settings"], log[-1]
    paces = sorted(entry["pairs_per_second"] for entry in log)
    waits = [entry["wait_share"] for entry in log if "wait_share" in entry]  # unknown of a run's first step
    return "\n".join(
        [
            f"run       {run}",
            f"data      {' '.join(settings['shards'])}: {config['tracks']} tracks at {config['sample_rate']} Hz",
            f"model     width {settings['width']}, {config['parameters']:,} parameters, seed {settings['seed']}",
            f"progress  step {last['step']} of {config['total_steps']}, epoch {last['epoch']}",
            f"loss      {log[0]['loss']:.4f} -> {last['loss']:.4f}",
            f"task      positive ranked first for {last['contrastive_accuracy']:.1%} of the anchors",
            *describe_geometry(log),
            *describe_probes(run),
            f"pace      {paces[len(paces) // 2]:.0f} pairs/s in the median",
            f"waiting   {sum(waits) / max(1, len(waits)):.1%} of the time, for data",
        ]
    )


def summarise_supervised(config: dict[str, Any], run: Path) -> str:
    """A run of train/supervised.py in a few lines."""
    settings, log = config["settings"], read_log(run)
    losses = [entry["loss"] for entry in log if "loss" in entry]
    valid = [entry["validation_roc_auc"] for entry in log if "validation_roc_auc" in entry]
    return "\n".join(
        [
            f"run       {run}",
            f"data      {settings['shards']} at {config['sample_rate']} Hz",
            f"model     width {settings['width']}, {config['parameters']:,} parameters, seed {settings['seed']}",
            f"progress  step {log[-1]['step'] if log else 0} of {config['total_steps']}",
            *([f"loss      {losses[0]:.4f} -> {losses[-1]:.4f}"] if losses else []),
            *([f"valid     ROC-AUC {valid[0]:.4f} -> {valid[-1]:.4f}, best {max(valid):.4f}"] if valid else []),
        ]
    )


@click.command()
@click.option("--run", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@click.option("--out", type=click.Path(path_type=Path), help="The page.  [default: RUN/report.html]")
@click.option("--features", type=click.Path(path_type=Path), help="Its feature dump.  [default: RUN/features]")
@click.option(
    "--probe",
    "probes",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with scores.json; may be repeated.  [default: all in RUN]",
)
@click.option("--shards", help="Shards of the features, to hear.  [default: where they were embedded from]")
@one_line_errors()
def main(run: Path, out: Path | None, features: Path | None, probes: tuple[Path, ...], shards: str | None) -> None:
    """Print a summary of a run, draw its curves as RUN/loss.png, and write a page of all there is about it."""
    config, log = read_config(run), read_log(run)
    if config.get("kind") == "supervised":
        click.echo(summarise_supervised(config, run))
    elif not log:
        click.echo(f"{run}/log.jsonl holds no step yet: there are no curves")
    else:
        click.echo(summarise(run))
        draw_loss({run.name: log}, run / "loss.png", probes_by_shards(run))
        click.echo(f"curve     {run / 'loss.png'}")
    request = PageRequest(run, features=features, probes=probes, shards=shards)
    page = write_page(request, out if out is not None else run / "report.html")
    click.echo(f"page      {page} ({page.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
