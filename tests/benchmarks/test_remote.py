"""The benchmark of remote shards: its contenders do the work they say, and its page judges them."""

from __future__ import annotations

import os
from itertools import accumulate, islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import remote
from benchmarks.contenders import obstore_alone, ours
from benchmarks.corpus import CROP_FRAMES, SAMPLE_RATE, write_clips
from benchmarks.report import Spread
from benchmarks.turns import Contender, Measured
from sharding.build import build
from sharding.format import open_shards
from sharding.plan import BuildSettings
from tests.benchmarks.signatures import misfit
from tests.servers.s3 import Server, needs_s3


@pytest.fixture
def url(bucket: str, tmp_path: Path) -> str:
    write_clips(tmp_path / "clips", 12)
    build(tmp_path / "clips", f"{bucket}/shards", BuildSettings(dataset="folder", sample_rate=SAMPLE_RATE))
    return f"{bucket}/shards"


@needs_s3
def test_contenders_do_the_work(url: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with remote.delayed(s3_server.endpoint, 1, None) as far:
        monkeypatch.setenv("AWS_ENDPOINT_URL", far)
        for style in dict(remote.STYLES):
            pairs = accumulate(obstore_alone.crops(url, CROP_FRAMES, style, 4))
            assert next(number for number in pairs if number >= 8) < 80, style
        assert obstore_alone.whole_shards(url, 4)() > 0
        assert ours.one_epoch(url, 4)() > 0
        assert [len(batch) for batch in islice(ours.pairloader(url, 4, access="ranges"), 4)] == [4] * 4
        contenders = [
            *remote.range_contenders(url, s3_server.environment(), remote.STYLES),
            *remote.link_contenders(url, s3_server.environment()),
        ]
    assert [misfit(contender) for contender in contenders] == [None] * len(contenders)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    shards = [f"{url}/{shard.name}" for shard in open_shards(url).manifest.shards]
    assert contenders[-5].settings["shards"] == shards


@needs_s3
@pytest.mark.needs("radosgw")
def test_the_page_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, str]] = []

    def measure(contenders: list[Contender], **_: object) -> Measured:
        names = [contender.name for contender in contenders]
        taken.append(dict(contenders[0].environment))
        rates = {name: Spread.of([50.0 if name.startswith("PairLoader") else 2.5]) for name in names[:-1]}
        return Measured(
            {**rates, names[0]: Spread.of([50.0])}, {names[-1]: "no reason"}, dict.fromkeys(names, "so"), {}
        )

    before = dict(os.environ)
    monkeypatch.setattr(remote, "measure", measure)
    monkeypatch.setattr(remote, "write_clips", lambda folder, _: write_clips(folder, 4))
    done = CliRunner().invoke(remote.main, ["--quick", "--clips", "96", "--rounds", "1"])
    for name in set(os.environ) - set(before):
        del os.environ[name]
    assert done.exit_code == 0, done.output
    assert "| obstore alone | obstore get_range_async, 256 | 20.00x | 20.00 - 20.00 | 0.9x | met |" in done.output
    assert "| DALI's own S3 reader |  | not measured |  | 20x | not measured |" in done.output
    assert (
        "| the link: obstore alone | obstore, whole shards, 4 in flight | 20.00x | 20.00 - 20.00 | 0.8x | met |"
        in done.output
    )
    assert len({each["AWS_ENDPOINT_URL"] for each in taken}) == 2, "two proxies, one with a link"
    assert all(each["AWS_SECRET_ACCESS_KEY"] not in done.output for each in taken)
