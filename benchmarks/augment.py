"""Views per second of the paper's augmentations, and milliseconds per view of each effect, against other libraries.

python -m benchmarks.augment            about 6 minutes; writes benchmarks/results/augment-MACHINE.{json,md}
python -m benchmarks.augment --quick    about a minute, for a look; writes nothing
python -m benchmarks.augment --device cuda    ours on a GPU against its bounds, see benchmarks/augment_device.py

The official code and two of the peers want packages that differ from this project's: install
benchmarks/requirements-official.txt and benchmarks/requirements-augment-peers.txt into environments of their own and
name their interpreters with the options or with CLMR_OFFICIAL_PYTHON and CLMR_AUGMENT_PEERS_PYTHON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from benchmarks import augment_device
from benchmarks.aims import Aim, aim_table, notes_list
from benchmarks.contenders.augment_crops import CROP_FRAMES, PAPER, SAMPLE_RATE, write_responses
from benchmarks.contenders.augment_registry import (
    NOTHING,
    OFFICIAL,
    OURS,
    OURS_AS_SOX,
    SOX,
    Interpreters,
    Library,
    chains,
    libraries,
    single,
)
from benchmarks.report import Spread, markdown_table, ratio, write_results
from benchmarks.turns import Measured, measure
from sharding.cores import usable_cores
from sharding.synth.render import render
from sharding.synth.score import draw_score

SONGS, CROPS_OF_A_SONG = 16, 6
RESPONSES = 32
AIMS = (
    Aim("the official chain", (OFFICIAL,), 3),
    Aim("audiomentations", ("audiomentations",), 1),
    Aim("torch-audiomentations", ("torch-audiomentations, ",), 1),
    Aim("torchaudio", ("torchaudio, ",), 1),
)
SOX_AIMS = (Aim("the sox program", (SOX,), 1),)


def write_crops(folder: Path) -> None:
    """Crops of the demo's songs as 16-bit samples, ``crops.npy [N, T]``, and impulse responses."""
    crops = []
    for song in range(SONGS):
        pcm = render(draw_score(0, song), SAMPLE_RATE, 1)[:, 0]
        crops += [pcm[number * CROP_FRAMES :][:CROP_FRAMES] for number in range(1, 1 + CROPS_OF_A_SONG)]
    np.save(folder / "crops.npy", np.stack(crops))
    write_responses(folder / "responses", RESPONSES)


def versions_of(library: Library) -> dict[str, str]:
    """Of its packages, in its interpreter."""
    script = (
        "import importlib.metadata as m, json, sys; names = {d.metadata['Name'].lower() for d in m.distributions()};"
        "print(json.dumps({n: m.version(n) for n in sys.argv[1:] if {n, n.replace('-', '_')} & names}))"
    )
    said = subprocess.run(
        [library.python, "-c", script, *library.packages], capture_output=True, text=True, check=False
    )
    found: dict[str, str] = json.loads(said.stdout) if said.returncode == 0 else {}
    return found


def all_versions(everybody: tuple[Library, ...]) -> dict[str, str]:
    """Of every package of every library, and of sox; those of another interpreter with the library's name."""
    found = {}
    for library in everybody:
        for package, number in versions_of(library).items():
            found[package if library.python == sys.executable else f"{package} of {library.name}"] = number
    try:
        said = subprocess.run(["sox", "--version"], capture_output=True, text=True, check=True).stdout
        found["sox"] = said.split()[-1]
    except (OSError, subprocess.CalledProcessError):
        found["sox"] = "not installed"
    return found


def milliseconds(rates: Spread) -> str:
    """Of a view: median, lowest and highest round."""
    middle, least, most = (1000 / each for each in (rates.median, rates.highest, rates.lowest))
    return f"{middle:.3g} ({least:.3g} - {most:.3g})"


def chain_table(measured: Measured) -> str:
    """Views per second of the chains, as Markdown."""
    rows = []
    ours = measured.rates[OURS]
    for name, spread in measured.rates.items():
        times = ratio(ours, spread)
        rows.append(
            [
                name,
                f"{spread.median:,.0f}",
                f"{spread.lowest:,.0f} - {spread.highest:,.0f}",
                f"{times.median:.2f}x ({times.lowest:.2f} - {times.highest:.2f})",
            ]
        )
    missing = [[name, "not measured", reason, ""] for name, reason in measured.missing.items()]
    return markdown_table(["", "views/s", "lowest - highest", f"{OURS} is"], [*rows, *missing])


def effects_table(everybody: tuple[Library, ...], effects: Mapping[str, Measured]) -> str:
    """Milliseconds per view of each effect, as Markdown."""
    rows = []
    for effect, measured in effects.items():
        cells = []
        for library in everybody:
            rates = measured.rates.get(library.name)
            failed = "not measured" if library.name in measured.missing else "-"
            cells.append(milliseconds(rates) if rates else failed)
        rows.append([effect, *cells])
    names = [library.name for library in everybody]
    table = markdown_table(["ms per view on one core", *names], rows)
    reasons = {
        f"- {effect} of {name}: {reason}\n"
        for effect, measured in effects.items()
        for name, reason in measured.missing.items()
    }
    return table + ("\n" + "".join(sorted(reasons)) if reasons else "")


def results(everybody: tuple[Library, ...], whole: Measured, effects: Mapping[str, Measured]) -> str:
    """The results as Markdown."""
    sox = aim_table(SOX_AIMS, whole, OURS_AS_SOX) if OURS_AS_SOX in whole.rates else ""
    tables = (
        chain_table(whole),
        aim_table(AIMS, whole, OURS),
        sox,
        effects_table(everybody, effects),
        notes_list(whole),
    )
    return "\n".join(table for table in tables if table)


@click.command()
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="cuda: ours alone, against its bounds."
)
@click.option("--rehearse", is_flag=True, help="What --device cuda does, small and on the CPU; writes nothing.")
@click.option("--quick", is_flag=True, help="Short rounds; writes nothing.")
@click.option("--rounds", type=click.IntRange(min=1), help="Turns of each chain, 5 or with --quick 2.")
@click.option("--cores", type=click.IntRange(min=1), help="Worker processes or threads of the chains; by default all.")
@click.option(
    "--official-python",
    envvar="CLMR_OFFICIAL_PYTHON",
    type=click.Path(exists=True, dir_okay=False),
    default=sys.executable,
    help="Interpreter with benchmarks/requirements-official.txt; by default this one.",
)
@click.option(
    "--peers-python",
    envvar="CLMR_AUGMENT_PEERS_PYTHON",
    type=click.Path(exists=True, dir_okay=False),
    default=sys.executable,
    help="Interpreter with benchmarks/requirements-augment-peers.txt; by default this one.",
)
def main(
    *,
    device: str,
    rehearse: bool,
    quick: bool,
    rounds: int | None,
    cores: int | None,
    official_python: str,
    peers_python: str,
) -> None:
    """Measure the effects."""
    if device == "cuda" or rehearse:
        augment_device.run(device, rehearse=rehearse, quick=quick)
        return
    rounds, cores = rounds or (2 if quick else 5), cores or usable_cores()
    seconds, effect_rounds, effect_seconds = (0.5, 1, 0.2) if quick else (2.0, 3, 0.5)
    everybody = libraries(Interpreters(official_python, peers_python))
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as name:
        folder = Path(name)
        write_crops(folder)
        whole = measure(
            chains(everybody, cores, folder), folder, rounds=rounds, seconds=seconds, say=click.echo, unit="views/s"
        )
        if OURS not in whole.rates:
            raise click.ClickException(f"{OURS} could not be measured: {whole.missing[OURS]}")
        effects = {}
        for effect in (*PAPER, NOTHING):
            click.echo(effect)
            contenders = single(everybody, effect, folder)
            effects[effect] = measure(
                contenders, folder, rounds=effect_rounds, seconds=effect_seconds, say=click.echo, unit="views/s"
            )
    body = results(everybody, whole, effects) + (
        f"\n{SONGS * CROPS_OF_A_SONG} crops of {CROP_FRAMES} samples at {SAMPLE_RATE} Hz, float32 in memory, of the "
        f"demo's songs. The chains run the same probabilities, "
        f"{', '.join(f'{name} {probability:g}' for name, probability in PAPER.items())}, on {cores} cores: {OURS} with "
        f"{cores} threads, the others as said above. An effect alone runs on one core with every gate open; "
        f"'{NOTHING}' is what sox takes to start, read and write. Each contender in a process of its own, stopped "
        f"while others are measured; its first views were checked: shape, finite, not silent, as many changed as "
        f"should be. Median of {rounds} rounds of {seconds:g} s in turns ({effect_rounds} of {effect_seconds:g} s for "
        f"an effect); ratios are medians of the rounds' ratios.\n\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "settings": {
                "probabilities": PAPER,
                "cores": cores,
                "crop_frames": CROP_FRAMES,
                "sample_rate": SAMPLE_RATE,
            },
            "views_per_second": {name: asdict(spread) for name, spread in whole.rates.items()},
            "not_measured": whole.missing,
            "one_effect_views_per_second": {
                effect: {name: asdict(spread) for name, spread in measured.rates.items()}
                for effect, measured in effects.items()
            },
            "contenders": whole.notes,
        }
        page = write_results("augment", "Augmentations", body, values, (), others=all_versions(everybody))
        click.echo(f"written to {page}")


if __name__ == "__main__":
    main()
