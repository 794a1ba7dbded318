"""A trained encoder as one file for other programs.

python train/export.py --run runs/mtat --out encoder.onnx            # any ONNX runtime; the encoder alone
python train/export.py --run runs/mtat --out weights.safetensors     # encoder and projector
python train/export.py --checkpoint FILE --out weights.pt            # the key layout of the authors' release 2.0
"""

from __future__ import annotations

import warnings
from pathlib import Path

import click

from clmr.errors import ConfigError, one_line_errors
from clmr.export import export_onnx, export_safetensors
from clmr.loading import load_weights
from clmr.model import ContrastiveModel
from clmr.official import save_official
from clmr.weights.layouts import LAYOUTS

SUFFIXES = (".pt", ".onnx", ".safetensors")


@click.command(context_settings={"show_default": True})
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="A run: its newest checkpoint is taken.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file, instead of --run: a checkpoint, the authors' weights, a zip of these, or safetensors.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="FILE.pt, .onnx or .safetensors."
)
@click.option("--layout", type=click.Choice(LAYOUTS), default="2.0", help="Of a .pt: the authors' release.")
@one_line_errors()
def main(run: Path | None, checkpoint: Path | None, out: Path, layout: str) -> None:
    """Write the encoder, and its projector where the format has a place for it."""
    source = checkpoint if run is None else run
    if source is None or (run is not None and checkpoint is not None):
        raise ConfigError("give --run or --checkpoint, one of the two")
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"--out must end in {', '.join(SUFFIXES)}, which says the format; got {out.name}")
    if run is not None and not run.is_dir():
        raise ConfigError(f"--run {run} is not a folder; give a run of train/pretrain.py")
    with warnings.catch_warnings(record=True) as passed_over:
        warnings.simplefilter("always")
        weights = load_weights(source)
    for warning in passed_over:
        click.echo(f"warning: {warning.message}", err=True)
    encoder = weights.encoder
    model = encoder if weights.projector is None else ContrastiveModel(encoder, weights.projector)
    if out.suffix == ".onnx":
        export_onnx(encoder, out)
    elif out.suffix == ".safetensors":
        export_safetensors(model, out)
    else:
        save_official(model, out, layout)
    click.echo(f"{out}: {encoder.width} features at {encoder.sample_rate} Hz, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
