"""The report joins ranks in lockstep, survives JSON, and leaves out what was not measured."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError
from loaders.saturation.figures import RankSpeeds
from loaders.saturation.report import Saturation
from tests.loaders.some_figures import REMOTE, WAITED, changed, speeds


@given(st.lists(speeds(run=False), min_size=1, max_size=4))
def test_json_holds_everything(measured: list[RankSpeeds]) -> None:
    report = Saturation.of(replace(each, rank=rank) for rank, each in enumerate(measured))
    text = report.to_json()
    assert Saturation.from_json(text) == report
    content = json.loads(text)
    assert content["verdict"] == report.verdict.line
    assert content["world_size"] == len(measured)
    assert all(isinstance(value, float) for value in report.scalars().values())
    assert report.table().splitlines()[-1].endswith(report.verdict.line)


@given(
    st.lists(speeds(whole=True), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_ranks_go_at_the_pace_of_the_slowest(measured: list[RankSpeeds], random: object) -> None:
    ranked = [replace(each, rank=rank) for rank, each in enumerate(measured)]
    shuffled = list(ranked)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    report = Saturation.of(shuffled)
    assert report.ranks == tuple(ranked)
    loaders = [each.loader_alone.pairs_per_second for each in ranked if each.loader_alone]
    assert report.loader_alone == len(ranked) * min(loaders)
    assert report.together == pytest.approx(sum(each.together or 0 for each in ranked))
    assert report.traffic.read == sum(each.traffic.read for each in ranked)
    waits = [each.wait_share for each in ranked]
    if max(waits) > 0.05:
        assert report.slowest.wait_share == max(waits)
        assert report.verdict.bound == "loader-bound"
    else:
        assert report.slowest.loader_alone is not None
        assert report.slowest.loader_alone.pairs_per_second == min(loaders)


def test_the_verdict_names_the_slowest_rank() -> None:
    fed = replace(WAITED, waited=0.1, together=1900.0, loader_alone=changed(pairs_per_second=9000))
    starved = replace(WAITED, rank=2, loader_alone=REMOTE)
    report = Saturation.of([fed, replace(fed, rank=1), starved, replace(fed, rank=3)])
    assert report.verdict.cause == "latency"
    assert report.verdict.line.endswith("; of rank 2, the slowest of 4")
    assert json.loads(report.to_json())["slowest_rank"] == 2
    assert "rank" not in Saturation.of([fed]).verdict.line


@pytest.mark.parametrize("ranks", [[], [1], [0, 0], [0, 2]])
def test_every_rank_is_needed_once(ranks: list[int]) -> None:
    with pytest.raises(ConfigError, match="each of 0"):
        Saturation.of(replace(WAITED, rank=rank) for rank in ranks)


def test_scalars_leave_out_what_was_not_measured() -> None:
    bare = Saturation.of([RankSpeeds()]).scalars()
    assert "saturation/consumer_alone" not in bare
    assert "saturation/request_p50" not in bare
    full = Saturation.of([replace(WAITED, loader_alone=REMOTE)]).scalars()
    assert full["saturation/consumer_alone"] == 2000
    assert full["saturation/loader_alone"] == 431
    assert full["saturation/request_p99"] == 0.08
    assert full["saturation/wait_share"] == pytest.approx(0.78)


def test_the_table_tells_all_three_ceilings() -> None:
    table = Saturation.of([replace(WAITED, loader_alone=REMOTE, device="cuda:0", uploading=1.25)]).table()
    for part in (
        "consumer alone   2,000 pairs/s",
        "loader alone     431 pairs/s",
        "both together    430 pairs/s",
        "waiting          7.80 of 10.00 s (78.0%)",
        "102.0 MB wanted, 102.0 MB read by 862 requests (p50 31 ms, p99 80 ms), 0 of them made again",
        "host to device   1.25 s beside the computation, on cuda:0",
        "verdict          loader-bound",
    ):
        assert part in table
    assert "not measured" in Saturation.of([RankSpeeds()]).table()
    assert "host to device" not in Saturation.of([RankSpeeds()]).table()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1, "ranks": [{}]}', '{"version": 1, "ranks": 3}', '{"version": 2}', "\xff"]
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="saturation report"):
        Saturation.from_json(text)
