"""The commands: sizes, defaults, help, and what `ls` shows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from clmr.errors import ConfigError
from sharding.__main__ import cli, parse_size

Sharder = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("64KiB", 65536), ("512MiB", 2**29), ("2 GiB", 2**31), ("1000000", 10**6)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1MB", "-1", "1.5GiB", "512 mib"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size; give bytes, or a number with KiB, MiB or GiB"):
        parse_size(text)


@pytest.mark.parametrize("command", ["build", "verify", "ls"])
def test_help_says_what_a_command_does_with_an_example(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: python -m sharding {command} " in shown.output
    assert "\\b" not in shown.output


def test_help_tells_what_a_build_cannot_know() -> None:
    shown = " ".join(CliRunner().invoke(cli, ["build", "--help"]).output.split())
    assert "of a corpus below 32 such shards, a 32nd of it, but at least 16MiB" in shown
    assert "noticed by its size or length. Where both are the same, delete the receipt of its shard" in shown


def test_mistakes_are_one_line(tmp_path: Path, sharder: Sharder) -> None:
    for arguments, message in (
        (("build", "nothing", "--source", tmp_path), "error: 'nothing' is no data set; one of folder, demo"),
        (("build", "folder", "--source", tmp_path / "gone"), f"error: {tmp_path}/gone is not a folder"),
        (("build", "folder", "--out", "ftp://host/x"), "error: ftp://: not a kind of storage that is known (s3://,"),
        (("build", "folder", "--out", "s3://"), "error: s3://: names no bucket"),
        (("build", "folder", "--out", "s3:/bucket/x"), "error: s3:/bucket/x: write two slashes for a URL"),
        (("build", "folder", "--scheduler", "node-1"), "error: --scheduler 'node-1': give the address of a Dask"),
        (("build", "folder", "--scheduler", ""), "error: --scheduler '': give the address of a Dask"),
        (("build", "gtzan", "--unit", "song"), "error: "),
        (("build", "fma", "--variant", "tiny"), "error: "),
        (
            ("ls", tmp_path),
            f"error: {tmp_path}/manifest.json is missing: no shards, or an unfinished build; build them with `python",
        ),
    ):
        done = sharder(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1


def test_ls(shards: Path, sharder: Sharder) -> None:
    listing = json.loads(sharder("ls", shards, "--json").stdout)
    assert {split: of["tracks"] for split, of in listing["splits"].items()} == {"train": 8, "valid": 3, "test": 3}
    # Track n bears the first n % 4 of fast, drums, piano; train has tracks 0 to 7, valid 8 to 10, test 11 to 13.
    assert listing["splits"]["train"]["labels"] == {"drums": 4, "fast": 6, "piano": 2}
    assert listing["splits"]["test"]["labels"] == {"drums": 1, "fast": 2, "piano": 1}
    assert (listing["attempted"], listing["written"], listing["skipped"]) == (14, 14, {})
    shown = sharder("ls", shards).stdout
    assert "14 of 14 tracks written" in shown
    assert ["drums", "4", "1", "1"] in [line.split() for line in shown.splitlines()]
    assert any(
        line.split()[:3] == ["all", str(sum(of["shards"] for of in listing["splits"].values())), "14"]
        for line in shown.splitlines()
        if line
    )
