"""Every command answers in every form it can be started in, and help never waits for torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from clmr.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent


def start(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str) -> None:
    answer = CliRunner().invoke(main, [name, "--help"])
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()) > 4


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        (
            "pretrain",
            (["train/pretrain.py"], ["-m", "train.pretrain"], ["-m", "torch.distributed.run", "train/pretrain.py"]),
        ),
        ("embed", (["train/embed.py"],)),
        ("probe", (["train/probe.py"],)),
        ("report", (["train/report.py"],)),
        ("shards", (["-m", "sharding", "build"],)),
        ("bench", (["-m", "loaders", "bench"],)),
    ],
)
def test_all_forms_offer_the_same_options(name: str, forms: tuple[list[str], ...]) -> None:
    expected = CliRunner().invoke(main, [name, "--help"], terminal_width=80).output.split("Options:")[1].split()
    for form in forms:
        assert start(*form, "--help").split("Options:")[1].split() == expected  # lines break elsewhere


def test_help_and_sharding_do_not_import_torch() -> None:
    check = "import sys, clmr.cli, sharding.__main__; sys.exit('torch' in sys.modules)"
    start("-c", check)


def test_unknown_command_is_refused() -> None:
    answer = CliRunner().invoke(main, ["pretrian"])
    assert answer.exit_code == 2
    assert "pretrian" in answer.output


def test_readme_names_every_command_and_target() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert name in readme
    listed = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    for target in ("install", "demo", "shards", "verify", "pretrain", "features", "probe", "report", "bench", "test"):
        assert f"make {target}" in listed
