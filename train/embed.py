"""Features of every window of every track, from a frozen encoder (paper section 2.6).

python train/embed.py --run runs/mtat --shards data/shards/mtat --out runs/mtat/features
torchrun --nproc-per-node 4 -- train/embed.py --checkpoint FILE.pt --shards ... --out ...
python train/embed.py --baseline log-spectrum --shards data/shards/mtat --out runs/spectrum/features
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click
import torch
from torch import nn
from tqdm import tqdm

from clmr.augment import from_int16
from clmr.errors import ConfigError, one_line_errors
from loaders import WindowLoader
from sharding.format import read_manifest
from sharding.publish import claimed
from train.checkpoint import checkpoint_path, load_encoder
from train.features import FeatureWriter
from train.launch import DEVICES, Place, placed
from train.settings import read_config
from train.spectrum import LogSpectrum


@torch.inference_mode()
def embed(
    encoder: nn.Module, width: int, loader: WindowLoader, out: Path, origin: dict[str, object], place: Place
) -> int:
    """Encode this rank's windows into the shared feature folder ``out``; returns the number of all windows."""
    encoder = encoder.to(place.device).eval()
    with FeatureWriter(out, place, windows=loader.total_windows, width=width) as writer:
        for batch in tqdm(loader, unit="batch", desc="embed", disable=not place.first, mininterval=0.5):
            writer.write(encoder(from_int16(batch.pcm)))
        writer.close(loader.tracks, loader.windows_per_track, origin)
    return loader.total_windows


def warn_if_unfinished(run: Path, checkpoint: str) -> None:
    """Say on stderr that a run's newest checkpoint is not its last."""
    total = read_config(run)["total_steps"]
    if Path(checkpoint) != checkpoint_path(run, total):
        click.echo(f"warning: {run} has not reached step {total}; the features are from {checkpoint}", err=True)


@click.command(context_settings={"show_default": True})
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="A run: its newest checkpoint is taken.")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), help="One checkpoint, instead of --run.")
@click.option("--baseline", type=click.Choice(["log-spectrum"]), help="Features without a network, instead of --run.")
@click.option("--shards", required=True, help="Folder of shards.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the features.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, help="Windows encoded at once.")
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads  [default: this process's share of the cores]")
@one_line_errors()
def main(
    run: Path | None,
    checkpoint: Path | None,
    baseline: str | None,
    shards: str,
    out: Path,
    batch_size: int,
    device: str,
    threads: int | None,
) -> None:
    """Encode all non-overlapping windows of all tracks; an incomplete last window is left out."""
    if sum(choice is not None for choice in (run, checkpoint, baseline)) != 1:
        raise ConfigError("give --run, --checkpoint or --baseline, one of the three")
    with placed(device, threads) as place:
        encoder: nn.Module
        if baseline is not None:
            encoder, origin, width, sample_rate = LogSpectrum(), baseline, LogSpectrum.width, None
        else:
            encoder, origin = load_encoder(run, checkpoint)
            if run is not None and place.first:
                warn_if_unfinished(run, origin)
            width, sample_rate = encoder.width, encoder.sample_rate
        with (
            claimed(out) if place.first else nullcontext(),
            WindowLoader(
                shards,
                batch_size=batch_size,
                sample_rate=sample_rate,
                rank=place.rank,
                world_size=place.world_size,
                device=place.device,
            ) as loader,
        ):
            manifest = read_manifest(shards)
            described: dict[str, object] = {
                "encoder": origin,
                "shards": shards,
                "dataset": manifest.dataset,
                "sample_rate": manifest.sample_rate,
                "window_frames": loader.window_frames,
                "labels": list(manifest.labels),
            }
            windows = embed(encoder, width, loader, out, described, place)
        if place.first:
            click.echo(f"{out}: {windows} windows of {len(loader.tracks)} tracks, {width} features each")


if __name__ == "__main__":
    main()
