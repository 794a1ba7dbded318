"""The study corpus by itself: python -m sharding.study {make,shares}."""

from __future__ import annotations

from pathlib import Path

import click

from clmr.errors import one_line_errors
from sharding.study.corpus import SIZES, draw_corpus, make_corpus
from sharding.study.fluid import SOUNDFONT
from sharding.study.shares import share_table

SIZE = click.option("--size", type=click.Choice(list(SIZES)), default="cpu", show_default=True, help="How large.")
SEED = click.option("--seed", default=0, show_default=True, help="Another seed gives other compositions.")


@click.group()
def cli() -> None:
    """Make the study corpus: generated scores, played by FluidSynth on sampled instruments."""


@cli.command()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the songs; new, empty or begun."
)
@SIZE
@SEED
@click.option("--jobs", type=click.IntRange(min=1), help="Songs played at a time.  [default: one per core]")
@click.option("--soundfont", type=click.Path(path_type=Path), help=f"{SOUNDFONT}, where it lies in no usual place.")
@one_line_errors()
def make(out: Path, size: str, seed: int, jobs: int | None, soundfont: Path | None) -> None:
    """Write the songs and labels.csv. Run it again after an interruption: finished songs are kept.

    Example: python -m sharding.study make --out data/raw/study --size cpu --jobs 2
    """
    make_corpus(out, size=size, seed=seed, jobs=jobs or 0, soundfont=soundfont)
    click.echo(
        f"{out}: {SIZES[size].tracks:,} songs; shards: python -m sharding build study --source {out} --variant {size}"
    )


@cli.command()
@SIZE
@SEED
@one_line_errors()
def shares(size: str, seed: int) -> None:
    """Print how often every tag holds, by split. Nothing is played.

    Example: python -m sharding.study shares --size full
    """
    click.echo(share_table(draw_corpus(size, seed)))


if __name__ == "__main__":
    cli(prog_name="python -m sharding.study")
