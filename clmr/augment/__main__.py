"""Every augmentation to hear and to see: python -m clmr.augment [FILE] [--out DIR | --page PAGE]."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from clmr.errors import ConfigError, one_line_errors

PRESETS = ("paper", "official")
SEED = 3  # its three views of the paper's chain hold every effect but noise between them
LONGEST_SECONDS = 30.0  # of the files
LONGEST_PAGE_SECONDS = 8.0  # some forty sounds must fit into one page


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for sounds and pictures.  [default: runs/listen]")
@click.option("--page", type=click.Path(path_type=Path), help="Write one page instead: a file .html, or its folder.")
@click.option("--preset", type=click.Choice(PRESETS), help="The whole chain of this one.  [default: paper; page: both]")
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True, help="Of the chain's draws.")
@click.option("--start", type=click.FloatRange(min=0), default=0.0, help="Second of FILE to begin at.")
@one_line_errors()
def main(file: Path | None, out: Path | None, page: Path | None, preset: str | None, seed: int, start: float) -> None:
    """Let every augmentation be heard and seen on FILE, any sound that libsndfile reads.

    Without FILE it makes six seconds of music itself. Each effect is applied at a low, a middle and a high setting,
    and the whole chain is drawn three times. Files hold at most 30 s of FILE, a page 8 s.

    Example: python -m clmr.augment --page runs/listen song.mp3 --start 45
    """
    if out is not None and page is not None:
        raise ConfigError("--out and --page exclude each other: files or one page; run the command twice for both")
    if file is None and start:
        raise ConfigError(f"--start {start:g} needs a FILE; the made-up music is taken whole")
    if out is not None and not out.name:
        raise ConfigError("--out needs a folder's name")
    if page is not None and page.suffix not in {"", ".html"} and not page.is_dir():
        raise ConfigError(f"--page {page}: give a name that ends in .html, or a folder")
    from clmr.augment.listen.examples import count_all, hear_all
    from clmr.augment.listen.folder import write_folder
    from clmr.augment.listen.page import write_page
    from clmr.augment.listen.recording import SAMPLE_RATE, made_up, read_recording

    longest = LONGEST_SECONDS if page is None else LONGEST_PAGE_SECONDS
    recording = made_up() if file is None else read_recording(file, start, longest)
    if recording.left_out:
        click.echo(f"{file} is longer: taken are {longest:g} s from {start:g} s on; --start moves them", err=True)
    presets = (preset,) if preset else PRESETS if page is not None else PRESETS[:1]
    with click.progressbar(
        hear_all(recording.audio, SAMPLE_RATE, presets, seed),
        length=count_all(presets),
        label="effects",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as heard:
        if page is not None:
            written = write_page(page, recording, heard, seed)
            click.echo(f"{written} ({written.stat().st_size / 1e6:.1f} MB)")
        else:
            folder = out or Path("runs/listen")
            click.echo(f"{write_folder(folder, recording, heard)} files in {folder}")


if __name__ == "__main__":
    main(prog_name="python -m clmr.augment")
