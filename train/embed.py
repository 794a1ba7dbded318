"""Features of every window of every track or audio file, from a frozen encoder (paper section 2.6).

python train/embed.py --run runs/mtat --shards data/shards/mtat --out runs/mtat/features
python train/embed.py --run runs/mtat --audio song.mp3 --hop 0.5 --out song           # a file, or a folder of files
torchrun --nproc-per-node 4 -- train/embed.py --checkpoint FILE.pt --shards ... --out ...
python train/embed.py --baseline log-spectrum --shards data/shards/mtat --out runs/spectrum/features
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from torch import nn
from tqdm import tqdm

from clmr import SampleCNN
from clmr.augment import from_int16
from clmr.cpc import CpcFeatures, load_features
from clmr.errors import ConfigError, one_line_errors
from clmr.weights.reading import OtherSystemError
from loaders import WindowLoader
from sharding.format import read_manifest
from sharding.publish import claimed
from train.embedding.audio import SHOWN, embed_audio
from train.embedding.files import list_audio
from train.embedding.windows import Grid, grid_of
from train.features import FORMATS, FeatureWriter
from train.precision import tf32
from train.ranks.launch import DEVICES, Place, from_first, placed
from train.runs.checkpoint import checkpoint_path, load, load_encoder
from train.settings import read_config
from train.spectrum import LogSpectrum

BASELINE_RATE = 22050
"""Hz at which ``--baseline`` hears audio files, the paper's; of shards it takes theirs."""


@dataclass(frozen=True)
class Chosen:
    """What makes the features."""

    encoder: nn.Module
    origin: str
    """The file it came from, or the baseline's name."""
    width: int
    sample_rate: int | None
    """Hz; None for any."""


@torch.inference_mode()
def embed(
    encoder: nn.Module,
    width: int,
    loader: WindowLoader,
    out: Path,
    origin: dict[str, object],
    place: Place,
    form: str = "npy",
) -> int:
    """Encode this rank's windows into the shared feature folder ``out``; returns the number of all windows."""
    encoder = encoder.to(place.device).eval()
    grid = Grid(loader.sample_rate, loader.window_frames, loader.hop_frames)
    with FeatureWriter(out, place, windows=loader.total_windows, width=width) as writer:
        for batch in tqdm(loader, unit="batch", desc="embed", disable=not place.first, mininterval=0.5):
            writer.write(encoder(from_int16(batch.pcm)))
        writer.close(loader.tracks, loader.windows_per_track, grid, origin, form)
    return loader.total_windows


def open_encoder(run: Path | None, checkpoint: Path | None) -> tuple[SampleCNN | CpcFeatures, str]:
    """As :func:`train.runs.checkpoint.load_encoder`, also of one checkpoint of train/cpc.py."""
    try:
        return load_encoder(run, checkpoint)
    except OtherSystemError:
        assert checkpoint is not None
        return load_features(load(checkpoint)), str(checkpoint)


def warn_if_unfinished(run: Path, checkpoint: str) -> None:
    """Say on stderr that a run's newest checkpoint is not its last."""
    total = read_config(run)["total_steps"]
    if Path(checkpoint) != checkpoint_path(run, total):
        click.echo(f"warning: {run} has not reached step {total}; the features are from {checkpoint}", err=True)


def choose(run: Path | None, checkpoint: Path | None, baseline: str | None, place: Place) -> Chosen:
    """The encoder that the options name."""
    if baseline is not None:
        return Chosen(LogSpectrum(), baseline, LogSpectrum.width, None)
    encoder, origin = open_encoder(run, checkpoint)
    if run is not None and place.first:
        warn_if_unfinished(run, origin)
    return Chosen(encoder, origin, encoder.width, encoder.sample_rate)


def of_shards(
    chosen: Chosen, shards: str, hop: float | None, out: Path, batch_size: int, form: str, place: Place
) -> str:
    """Embed shards; returns what came of it in one line."""
    manifest = read_manifest(shards)
    grid = grid_of(chosen.sample_rate or manifest.sample_rate, hop)
    with WindowLoader(
        shards,
        batch_size=batch_size,
        sample_rate=grid.sample_rate,
        window_frames=grid.window,
        hop_frames=grid.hop,
        rank=place.rank,
        world_size=place.world_size,
        device=place.device,
    ) as loader:
        described: dict[str, object] = {
            "encoder": chosen.origin,
            "shards": shards,
            "dataset": manifest.dataset,
            "sample_rate": manifest.sample_rate,
            "labels": list(manifest.labels),
        }
        windows = embed(chosen.encoder, chosen.width, loader, out, described, place, form)
        return f"{windows} windows of {len(loader.tracks)} tracks"


def of_audio(
    chosen: Chosen, audio: Path, hop: float | None, out: Path, batch_size: int, form: str, place: Place
) -> str:
    """Embed an audio file or a folder of them; returns what came of it in one line."""
    grid = grid_of(chosen.sample_rate or BASELINE_RATE, hop)
    files = from_first(lambda: list_audio(audio))
    described: dict[str, object] = {
        "encoder": chosen.origin,
        "audio": str(audio),
        "sample_rate": grid.sample_rate,
        "labels": [],
    }
    result = embed_audio(
        chosen.encoder, chosen.width, files, grid, out, described, place, batch_size=batch_size, form=form
    )
    if result.skipped and place.first:
        more = f" (all names: {out / 'features.json'})" if max(map(len, result.skipped.values())) > SHOWN else ""
        click.echo(f"skipped {result.left_out()}{more}", err=True)
    return f"{result.windows} windows of {result.tracks} of {result.attempted} files"


@click.command(context_settings={"show_default": True})
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="A run: its newest checkpoint is taken.")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), help="One checkpoint, instead of --run.")
@click.option("--baseline", type=click.Choice(["log-spectrum"]), help="Features without a network, instead of --run.")
@click.option("--shards", help="Folder of shards.")
@click.option(
    "--audio", type=click.Path(path_type=Path), help="Instead of --shards: an audio file, or a folder of them."
)
@click.option(
    "--hop",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds from the start of a window to that of the next  [default: a window]",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the features.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="npy",
    help="features.npy for numpy and train/probe.py, or one features.parquet.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, help="Windows encoded at once.")
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads  [default: this process's share of the cores]")
@one_line_errors()
def main(
    run: Path | None,
    checkpoint: Path | None,
    baseline: str | None,
    shards: str | None,
    audio: Path | None,
    hop: float | None,
    out: Path,
    form: str,
    batch_size: int,
    device: str,
    threads: int | None,
) -> None:
    """Encode the windows of all tracks or audio files; an incomplete last window is left out."""
    if sum(choice is not None for choice in (run, checkpoint, baseline)) != 1:
        raise ConfigError("give --run, --checkpoint or --baseline, one of the three")
    if (shards is None) == (audio is None):
        raise ConfigError("give --shards or --audio, one of the two")
    with placed(device, threads) as place, tf32(allowed=False):
        chosen = choose(run, checkpoint, baseline, place)
        with claimed(out) if place.first else nullcontext():
            if shards is not None:
                summary = of_shards(chosen, shards, hop, out, batch_size, form, place)
            else:
                assert audio is not None
                summary = of_audio(chosen, audio, hop, out, batch_size, form, place)
        if place.first:
            click.echo(f"{out}: {summary}, {chosen.width} features each")


if __name__ == "__main__":
    main()
