"""Loss curve and summary of a run.

python train/report.py --run runs/mtat
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clmr.errors import ResumeError, one_line_errors
from sharding.publish import publish
from train.runlog import read_log
from train.settings import read_pretraining


def draw_loss(runs: dict[str, list[dict[str, Any]]], target: Path) -> None:
    """Draw loss and contrastive accuracy of some runs (name -> log) over the steps, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, log in runs.items():
        steps = [entry["step"] for entry in log]
        left.plot(steps, [entry["loss"] for entry in log], linewidth=1, label=name)
        right.plot(steps, [entry["contrastive_accuracy"] for entry in log], linewidth=1, label=name)
    left.set(xlabel="step", ylabel="NT-Xent loss (nats)")
    right.set(xlabel="step", ylabel="positive ranked first (share of anchors)", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="upper left")
    with publish(target) as path:
        figure.savefig(path, dpi=150, format="png")
    plt.close(figure)


def summarise(run: Path) -> str:
    """The run in a few lines, from its configuration and log."""
    config = read_pretraining(run)
    log = read_log(run)
    if not log:
        raise ResumeError(f"{run}/log.jsonl holds no step yet; let the run take at least one")
    settings, last = config["settings"], log[-1]
    paces = sorted(entry["pairs_per_second"] for entry in log)
    waits = [entry["wait_share"] for entry in log]
    return "\n".join(
        [
            f"run       {run}",
            f"data      {' '.join(settings['shards'])}: {config['tracks']} tracks at {config['sample_rate']} Hz",
            f"model     width {settings['width']}, {config['parameters']:,} parameters, seed {settings['seed']}",
            f"progress  step {last['step']} of {config['total_steps']}, epoch {last['epoch']}",
            f"loss      {log[0]['loss']:.4f} -> {last['loss']:.4f}",
            f"task      positive ranked first for {last['contrastive_accuracy']:.1%} of the anchors",
            f"pace      {paces[len(paces) // 2]:.0f} pairs/s in the median",
            f"waiting   {sum(waits) / len(waits):.1%} of the time, for data",
        ]
    )


@click.command()
@click.option("--run", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@one_line_errors()
def main(run: Path) -> None:
    """Print a summary of a run and draw its loss curve as RUN/loss.png."""
    click.echo(summarise(run))
    draw_loss({run.name: read_log(run)}, run / "loss.png")
    click.echo(f"curve     {run / 'loss.png'}")


if __name__ == "__main__":
    main()
