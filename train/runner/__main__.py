"""The commands: run, table, transfer and labels (docs/evaluation.md)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from clmr.errors import ConfigError, one_line_errors
from train.options import together
from train.probing.settings import PRESETS
from train.ranks.launch import DEVICES
from train.runner import labels as label_efficiency
from train.runner import others, page
from train.runner.choice import choose
from train.runner.execution import end, execute, show
from train.runner.labels import PERCENT, LabelPlan
from train.runner.plan import HEADS, Plan, Unit, cost_line, probes, share_of
from train.runner.plan_file import OPTIONS, PlannedCommand, read_plan
from train.runner.stages import Places, embedding
from train.runner.tables import TABLES
from train.runner.writing import write_tables

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

out_option = click.option("--out", required=True, type=FOLDER, help="Folder for everything.")
seeds_option = click.option("--seeds", type=click.IntRange(min=1), default=3, help="Heads of every probe.")
presets_option = click.option(
    "--preset", type=click.Choice(list(PRESETS)), multiple=True, default=["paper"], help="Of probes; may be repeated."
)
heads_option = click.option(
    "--head", type=click.Choice(HEADS), multiple=True, default=HEADS, help="mlp: one hidden layer; may be repeated."
)
source_options = together(
    click.option("--run", type=FOLDER, help="A run: its newest checkpoint is taken."),
    click.option("--checkpoint", type=FILE, help="One checkpoint, instead of --run."),
)
places_options = together(
    click.option("--nproc", type=click.IntRange(min=1), default=1, help="Processes of training and embedding."),
    click.option("--device", type=click.Choice(DEVICES), default="auto"),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a process."),
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the commands and what they cost; no more.")
supervised_option = click.option("--supervised-options", default="", metavar="TEXT", help="For train/supervised.py.")


@click.group()
def main() -> None:
    """Trainings, probes and tables of the paper, from one command each."""


@main.command("run", cls=PlannedCommand, context_settings={"show_default": True})
@click.argument("recipes", nargs=-1, metavar="[RECIPE]... [-- OPTIONS OF train/pretrain.py]")
@click.option(
    "--plan", type=FILE, is_eager=True, expose_value=False, callback=one_line_errors()(read_plan), help="TOML."
)
@out_option
@click.option("--shards", multiple=True, metavar="NAME=FOLDER", help="Shards that are not in data/shards/NAME.")
@presets_option
@heads_option
@seeds_option
@click.option("--also-on", multiple=True, metavar="NAME", help="Probe every encoder on these shards too.")
@click.option("--cpc-options", default="", metavar="TEXT", help="For train/cpc.py.")
@supervised_option
@places_options
@click.option("--only", metavar="I/N", help="The I-th of N shares of the plan, for the tasks of an array job.")
@dry_run_option
@one_line_errors()
def run_plan(recipes: tuple[str, ...], only: str | None, *, dry_run: bool, **given: Any) -> None:
    """Pretrain, embed and probe; RECIPE is a name, a pattern like 'table2-*', a table like 'Table 5' or a TOML file.

    What is finished is skipped, what was interrupted goes on, and what fails is named at the end.
    """
    context = click.get_current_context()
    recipes = recipes or tuple((context.default_map or {}).get("recipes", ()))
    if not recipes:
        raise ConfigError(f"give recipes, such as 'table2-*' or 'Table 5'; the tables are {', '.join(TABLES)}")
    trainings = share_of(choose(recipes), only)
    plan = Plan(
        trainings=tuple(trainings),
        out=given["out"],
        shards=named_folders(given["shards"]),
        presets=tuple(given["preset"]),
        heads=tuple(given["head"]),
        seeds=given["seeds"],
        also_on=tuple(given["also_on"]),
        options={
            "pretrain": tuple(context.meta.get(OPTIONS, ())),
            "cpc": tuple(shlex.split(given["cpc_options"])),
            "supervised": tuple(shlex.split(given["supervised_options"])),
        },
        places=Places(given["nproc"], given["device"], given["threads"]),
    )
    units = [plan.unit(each) for each in trainings]
    if dry_run:
        show(units)
        click.echo(f"\n{cost_line(units)}")
        return
    failures = execute(units)
    names = {each for training in trainings for each in (training.name, *training.also)}
    tables = [table for table, content in TABLES.items() if any(row.training in names for row in content.rows)]
    print_tables(plan.out, tables, plan.presets)
    end(failures, units)


@main.command("table", context_settings={"show_default": True})
@click.argument("names", nargs=-1, metavar="['Table 2']...")
@out_option
@presets_option
@one_line_errors()
def print_table(names: tuple[str, ...], out: Path, preset: tuple[str, ...]) -> None:
    """The paper's tables with its numbers beside those of the folders in --out; run nothing."""
    by_lower = {name.lower(): name for name in TABLES}
    unknown = [name for name in names if name.lower() not in by_lower]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such table; one of {', '.join(TABLES)}")
    if not out.is_dir():
        raise ConfigError(f"--out {out} is not a folder; give that of python -m train.runner run")
    print_tables(out, [by_lower[name.lower()] for name in names] or list(TABLES), preset)


@main.command(context_settings={"show_default": True})
@source_options
@click.option("--shards", required=True, help="Labelled shards of any data set at the encoder's sample rate.")
@out_option
@presets_option
@heads_option
@seeds_option
@places_options
@dry_run_option
@one_line_errors()
def transfer(
    run: Path | None,
    checkpoint: Path | None,
    shards: str,
    out: Path,
    preset: tuple[str, ...],
    head: tuple[str, ...],
    seeds: int,
    nproc: int,
    device: str,
    threads: int | None,
    *,
    dry_run: bool,
) -> None:
    """Probe a trained encoder on the shards of another data set (the paper's Table 3)."""
    features = out / "features"
    stage = embedding(source_of(run, checkpoint), shards, features, Places(nproc, device, threads))
    unit = Unit(str(out), out, (stage, *probes(features, out / "probe", preset, head, seeds)))
    if dry_run:
        show([unit])
        return
    failures = execute([unit])
    rows = [row for each in preset if (row := others.row_of(f"{run or checkpoint}, {shards}", out / "probe", each))]
    if rows:
        text = others.markdown("Transfer", rows)
        write_tables(out, "transfer", text, rows)
        click.echo(f"\n{text}")
    end(failures, [unit])


@main.command(context_settings={"show_default": True})
@source_options
@click.option("--shards", required=True, help="Labelled shards, of clips rather than of joined songs.")
@out_option
@click.option("--percent", type=click.FloatRange(0, 100, min_open=True), multiple=True, default=PERCENT)
@click.option("--subsets", type=click.IntRange(min=1), default=3, help="Draws of the songs of each share.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="paper", help="Of probes.")
@click.option("--head", type=click.Choice(HEADS), default="linear", help="mlp: one hidden layer.")
@seeds_option
@click.option("--supervised/--no-supervised", default=True, help="Train the networks to compare with.")
@supervised_option
@places_options
@click.option("--only", metavar="I/N", help="The I-th of N shares of the work, when the features are there.")
@dry_run_option
@one_line_errors()
def labels(run: Path | None, checkpoint: Path | None, only: str | None, *, dry_run: bool, **given: Any) -> None:
    """Score against the share of labels (Figures 5 and 6): probes of a frozen encoder and supervised networks."""
    places = Places(given.pop("nproc"), given.pop("device"), given.pop("threads"))
    options = tuple(shlex.split(given.pop("supervised_options")))
    given["percent"] = tuple(sorted(set(given["percent"])))
    plan = LabelPlan(source=source_of(run, checkpoint), places=places, supervised_options=options, **given)
    units = share_of(plan.units(), only)
    if dry_run:
        show(units)
        return
    failures = execute(units)
    curves = plan.curves()
    text = label_efficiency.markdown(curves)
    write_tables(plan.out, "labels", text, curves)
    click.echo(f"\n{text}")
    end(failures, units)


def source_of(run: Path | None, checkpoint: Path | None) -> tuple[str, Path]:
    """``--run`` or ``--checkpoint``, one of the two."""
    if (run is None) == (checkpoint is None):
        raise ConfigError("give --run or --checkpoint, one of the two")
    return ("--run", run) if run is not None else ("--checkpoint", Path(str(checkpoint)))


def named_folders(given: Sequence[str]) -> dict[str, str]:
    """``NAME=FOLDER``, several times, by name."""
    pairs = [each.partition("=") for each in given]
    for name, equals, folder in pairs:
        if not (name and equals and folder):
            raise ConfigError(f"--shards {name}{equals}{folder}: write NAME=FOLDER, such as mtat=s3://bucket/mtat")
    return {name: folder for name, _, folder in pairs}


def print_tables(out: Path, names: Sequence[str], presets: Sequence[str]) -> None:
    """Print tables of the paper, and what is no row of it; tables.md and tables.json have all that anything is of."""
    everything: list[str] = []
    asked: list[str] = []
    numbers: list[dict[str, Any]] = []
    for preset in presets:
        filled = [page.fill(table, out, preset) for table in TABLES.values()]
        for table in filled:
            text = page.markdown(TABLES[table["table"]], table)
            everything += [text] if table["table"] in names or table["protocol"] else []
            asked += [text] if table["table"] in names else []
        rows = others.other_rows(out, preset)
        more = [others.markdown("Other trainings and data sets", rows)] if rows else []
        everything, asked = everything + more, asked + more
        numbers.append({"preset": preset, "tables": filled, "others": rows})
    write_tables(out, "tables", "\n\n".join(everything), numbers)
    click.echo("\n" + "\n\n".join([*asked, f"{out}/tables.md, {out}/tables.json"]))


if __name__ == "__main__":
    main()
