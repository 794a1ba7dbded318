"""The shared options stand in ``--help`` in their order, and programs that share one say the same of it."""

from __future__ import annotations

import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from train import options
from train.cpc import main as cpc
from train.pretrain import main as pretrain
from train.runs.ending import end
from train.supervised import main as supervised

SHARED = {
    *("shards", "more_shards", "run", "epochs", "steps", "splits", "sample_rate", "seed", "backend", "access"),
    *("window", "cache", "cache_size", "depth", "checkpoint_every", "device", "threads"),
}
OWN = {"shards", "seed", "epochs"}  # of train/supervised.py, to which they mean something else


def described(command: click.Command) -> dict[str, dict[str, object]]:
    """Everything that click knows of each shared parameter."""
    return {str(each.name): each.to_info_dict() for each in command.params if each.name in SHARED}


def test_programs_say_the_same_of_what_they_share() -> None:
    first, other, labelled = described(pretrain), described(cpc), described(supervised)
    assert set(first) == set(other) == SHARED
    assert first == other
    assert {name: labelled[name] for name in labelled if name not in OWN} == {
        name: first[name] for name in labelled if name not in OWN
    }
    assert len(labelled) == 8


@pytest.mark.parametrize("option", ["--run", "--checkpoints"])
def test_the_empty_text_is_no_folder(option: str) -> None:
    """A shell makes it of a variable that is not set; the current folder would be filled."""
    folders = {"--run": "run", option: ""}
    done = CliRunner().invoke(pretrain, ["--steps", "1", *(text for pair in folders.items() for text in pair)])
    assert done.exit_code == 2
    assert f"Invalid value for '{option}': it is empty" in done.output


def test_options_stand_in_the_order_in_which_they_are_written() -> None:
    @click.command()
    @options.run
    @options.length
    @click.option("--own")
    @options.placement
    def command(**values: object) -> None:
        click.echo(" ".join(sorted(values)))

    assert [each.name for each in command.params] == ["run", "epochs", "steps", "own", "device", "threads"]
    assert CliRunner().invoke(command, ["--run", "r"]).output == "device epochs own run steps threads\n"


def test_the_ending(capsys: pytest.CaptureFixture[str]) -> None:
    end(Path("runs/a"), "step 9 of 9", None, first=True)
    end(Path("runs/a"), "step 3 of 9", signal.SIGTERM, first=True)
    end(Path("runs/a"), "step 3 of 9", signal.SIGTERM, first=False)
    with pytest.raises(SystemExit, match="130"):
        end(Path("runs/a"), "step 3 of 9", signal.SIGINT, first=False)
    assert capsys.readouterr().out.splitlines() == [
        "runs/a: step 9 of 9",
        "runs/a: stopped at step 3 of 9; the same command goes on from there",
    ]
