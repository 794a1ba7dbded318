"""The commands of a plan, what is refused, what it costs, and a plan in a file."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from clmr.errors import ConfigError
from tests.train.launching import ROOT
from train.runner.__main__ import main
from train.runner.choice import training_of
from train.runner.execution import words
from train.runner.plan import Plan, cost_line, share_of
from train.runner.stages import Places

OUT = Path("runs/paper")
PROBE = "--preset paper --head linear --seeds 3"


def commands(name: str, **plan: object) -> list[str]:
    """What a user would type, without the folder of the checkout."""
    unit = Plan(trainings=(), out=OUT, **plan).unit(training_of(name))  # type: ignore[arg-type]  # a test's table
    return [shlex.join(words(stage)[1]).replace(f"{ROOT}/", "") for stage in unit.stages]


def options(*given: str) -> dict[str, tuple[str, ...]]:
    return {"pretrain": given}


def test_a_training_is_three_commands_that_a_user_would_type() -> None:
    at = "runs/paper/table2-gain"
    assert commands("table2-gain", heads=("linear",)) == [
        f"python train/pretrain.py --recipe table2-gain --run {at}/run",
        f"python train/embed.py --run {at}/run --shards data/shards/mtat --out {at}/features/mtat",
        f"python train/probe.py --features {at}/features/mtat --out {at}/probe/mtat/paper-linear {PROBE}",
    ]


def test_shards_elsewhere_processes_and_options() -> None:
    train, embed, *probes = commands(
        "table2-gain",
        shards={"mtat-song": "s3://b/songs", "mtat-8000": "s3://b/clips"},
        options=options("--sample-rate", "8000", "--steps", "5"),
        places=Places(4, "cuda"),
        presets=("paper", "fast"),
    )
    launch = "torchrun --standalone --nproc-per-node 4 --"
    assert train.startswith(f"{launch} train/pretrain.py --recipe table2-gain --shards s3://b/songs --sample-rate 8000")
    assert train.endswith("--device cuda")
    assert embed.startswith(f"{launch} train/embed.py")
    assert "--shards s3://b/clips --out runs/paper/table2-gain/features/mtat-8000 --device cuda" in embed
    kinds = ["paper-linear", "paper-mlp", "fast-linear"]  # L-BFGS fits no hidden layer
    assert [f"probe/mtat-8000/{kind} " in probe for kind, probe in zip(kinds, probes, strict=True)] == [True] * 3


def test_an_encoder_is_probed_on_every_data_set_of_its_rows_and_on_those_asked_for() -> None:
    probed = [line.split("/features/")[1].split()[0] for line in commands("msd", also_on=("gtzan",)) if "embed" in line]
    assert probed == ["msd", "mtat", "gtzan"]
    assert commands("supervised-msd") == [
        "python train/supervised.py --shards data/shards/msd --run runs/paper/supervised-msd/run"
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--widht", "3"], "No such option"),
        (["--width", "wide"], "not a valid integer"),
        (["--steps", "-1"], "steps"),
        (["--run", "elsewhere"], "--run after the --"),
        (["--recipe", "msd"], "--recipe after the --"),
        (["--augment", "official"], "--augment after the --"),
        (["--probability", "gain=0.3"], "--probability after the --"),
        (["--shards", "x"], "--shards NAME=FOLDER"),
    ],
)
def test_options_that_make_another_training_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        commands("table2-gain", options=options(*given))


def test_cost_is_the_recipes_in_proportion_to_the_pairs() -> None:
    plan = Plan(trainings=(), out=OUT)
    whole = plan.unit(training_of("mtat"))
    part = Plan(trainings=(), out=OUT, options=options("--steps", "4000")).unit(training_of("mtat"))
    epochs = Plan(trainings=(), out=OUT, options=options("--epochs", "100")).unit(training_of("mtat"))
    assert whole.hours == pytest.approx(46, rel=0.03)  # an epoch's last batch is left out of the recipe's pairs
    assert part.hours == pytest.approx(0.46)
    assert epochs.hours == pytest.approx(0.46, rel=0.03)
    line = cost_line([whole, part, plan.unit(training_of("cpc-fma"))])
    assert "3 trainings, 3 of them not finished: about 47" in line
    assert "the cost of cpc-fma is not known" in line


def test_shares_for_the_tasks_of_an_array() -> None:
    everything = list(range(10))
    shares = [share_of(everything, f"{task}/4") for task in (1, 2, 3, 4)]
    assert sorted(sum(shares, [])) == everything  # noqa: RUF017 - four short lists
    assert share_of(everything, None) == everything
    for wrong in ("0/4", "5/4", "2", "a/b", "1/0"):
        with pytest.raises(ConfigError, match="write I/N"):
            share_of(everything, wrong)


def test_a_plan_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(
        'recipes = ["table2-crop", "cpc-mtat"]\nout = "runs/file"\nshards = { mtat-song = "s3://b/songs" }\n'
        'preset = ["fast"]\ncpc_options = ["--steps", "7"]\noptions = ["--steps", "5"]\n'
    )

    def shown(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["run", "--plan", str(file), "--dry-run", *arguments])
        assert result.exit_code == 0, result.output
        return result.output.replace(f"{ROOT}/", "")

    planned = shown()
    assert "--recipe table2-crop --shards s3://b/songs --steps 5 --run runs/file/table2-crop/run" in planned
    assert "train/cpc.py --shards s3://b/songs --steps 7 --run" in planned
    overridden = shown("table2-gain", "--out", "runs/here", "--", "--steps", "9")
    assert "--recipe table2-gain --shards s3://b/songs --steps 9 --run runs/here/table2-gain/run" in overridden
    assert "table2-crop" not in overridden

    file.write_text('recipe = ["mtat"]\n')
    result = CliRunner().invoke(main, ["run", "--plan", str(file)])
    assert result.exit_code == 1
    assert "unknown key recipe; did you mean recipes" in result.output
