"""``python -m loaders bench``: a table, a verdict, and one line where it cannot measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loaders.__main__ import cli
from loaders.saturation.bench import SleepingConsumer
from loaders.saturation.report import Saturation
from sharding.storage import place_at
from tests.loaders.small_shards import CROP
from tests.servers.s3 import needs_s3
from tests.servers.web import files_of, serving

SMALL = ["--batch-size", "8", "--crop-frames", str(CROP), "--seconds", "0.2", "--threads", "1"]


def bench(shards: Path | str, *options: str) -> Result:
    return CliRunner().invoke(cli, ["bench", str(shards), *SMALL, *options])


def lines_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def names(lines: list[str]) -> list[str]:
    """The first words of the table."""
    return [line[:15].strip() for line in lines[4:] if line[15:25].strip().replace(",", "").isdigit()]


def test_it_prints_a_table_and_ends_with_a_verdict(shards: Path) -> None:
    lines = lines_of(bench(shards))
    assert lines[0].endswith(f"40 tracks, {CROP} samples per crop, 1 threads")
    assert lines[1].startswith("torch backend")
    assert lines[2].startswith("first batch after")
    assert lines[3].split() == ["pairs/s", "lowest", "highest", "MB/s", "of", "copy"]
    assert names(lines) == ["loader alone", "memory copy"]
    assert all(int(line[15:25].replace(",", "")) > 0 for line in lines[4:6])
    assert "MB wanted" in lines[6]
    assert lines[-1].startswith("the loader alone is limited by ")


def test_a_consumer_is_measured_alone_and_beside_the_loader(shards: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    lines = lines_of(bench(shards, "--consumer-ms", "200", "--json", str(target)))
    assert names(lines) == ["loader alone", "memory copy", "consumer alone", "both together"]
    assert lines[-1].startswith("device-bound: ")
    report = Saturation.from_json(target.read_text(encoding="utf-8"))
    assert report.verdict.line == lines[-1]
    assert report.consumer_alone is not None
    assert report.consumer_alone <= 8 / 0.2
    assert report.together is not None


def test_a_consumer_that_takes_no_time_waits(shards: Path) -> None:
    lines = lines_of(bench(shards, "--consumer-ms", "0"))
    assert lines[-1].startswith("loader-bound ("), lines


def test_a_web_server_has_no_ceiling_on_this_machine(shards: Path) -> None:
    files = {str(path.relative_to(shards)): path.read_bytes() for path in shards.rglob("*") if path.is_file()}
    with serving(files_of(files)) as address:
        lines = lines_of(bench(address, "--access", "ranges", "--depth", "2"))
    assert names(lines) == ["loader alone"]
    assert "of copy" not in lines[3]
    assert "requests (p50" in "\n".join(lines)
    assert "the disk" not in lines[-1]


@needs_s3
def test_a_bucket_is_measured(shards: Path, tmp_path: Path, bucket: str) -> None:
    target = place_at(f"{bucket}/shards")
    for path in shards.rglob("*"):
        if path.is_file():
            target.write(str(path.relative_to(shards)), path.read_bytes())
    written = tmp_path / "report.json"
    options = ["--access", "ranges", "--consumer-ms", "1", "--json", str(written)]
    lines = lines_of(bench(f"{bucket}/shards", *options))
    assert names(lines) == ["loader alone", "consumer alone", "both together"]
    (speeds,) = Saturation.from_json(written.read_text(encoding="utf-8")).ranks
    assert speeds.loader_alone is not None
    assert speeds.loader_alone.remote
    assert speeds.loader_alone.request_alone is not None
    assert speeds.loader_alone.traffic.p50 is not None
    assert speeds.traffic.read >= speeds.traffic.wanted > 0


@pytest.mark.parametrize(
    ("shards", "options", "message"),
    [
        (".", [], "manifest.json is missing"),
        (".", ["--json", "no/such/folder.json"], "no/such is no folder"),
        (".", ["--cache-size", "much"], "much"),
        ("gopher://host/shards", [], "gopher"),
    ],
)
def test_mistakes_get_one_line(tmp_path: Path, shards: str, options: list[str], message: str) -> None:
    result = bench(tmp_path if shards == "." else shards, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_consumer_sleeps_as_long_as_it_says() -> None:
    assert 0 < SleepingConsumer(0.01).alone(pairs=8) <= 8 / 0.01
