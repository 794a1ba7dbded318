"""The rule that judges a run: it never contradicts its numbers, and does not depend on the unit of time."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.saturation.cpu import CpuUse
from loaders.saturation.figures import LoaderAlone, RankSpeeds, Traffic
from loaders.saturation.verdict import OTHER, ROOM, WAIT_LITTLE, judge, limit_of
from tests.loaders.some_figures import REMOTE, WAITED, changed, loaders, shares, speeds

REMEDIES = r"cores|programs|disk|threads|memory|depth|access|backend|prefixes|link|bench"


@given(speeds(run=False))
def test_a_verdict_is_one_line_and_fits_its_numbers(measured: RankSpeeds) -> None:
    verdict = judge(measured)
    together, waiting = measured.together, measured.wait_share
    assert "\n" not in verdict.line
    assert (verdict.cause is not None) == (verdict.bound in {"loader-bound", "loader alone"})
    assert (verdict.bound in {"loader alone", "unknown"}) == (together is None)
    if together is None:
        return
    assert (verdict.bound == "loader-bound") == (waiting > WAIT_LITTLE)
    if verdict.bound == "device-bound":
        assert measured.loader_alone is not None
        loader = max(measured.loader_alone.pairs_per_second, together)
        consumer = max(measured.consumer_alone or together, together)
        assert loader >= ROOM * consumer
        (said,) = re.findall(r"could feed ([\d,.]+)x as much", verdict.line)
        assert float(said.replace(",", "")) == pytest.approx(loader / consumer, rel=0.06)
    if verdict.bound == "elsewhere":
        assert measured.consumer_alone is not None
        assert together < (1 - OTHER) * measured.consumer_alone
    if verdict.bound == "loader-bound":
        assert re.search(REMEDIES, verdict.line)


@given(loaders, st.sampled_from([0.5, 1.0, 2.0, 16.0]))
def test_a_limit_fits_its_numbers(alone: LoaderAlone, cores: float) -> None:
    limit, traffic = limit_of(alone, cores), alone.traffic
    assert re.search(REMEDIES, limit.remedy)
    if limit.cause in {"latency", "bandwidth", "retries"}:
        assert alone.remote
    if limit.cause == "disk":
        assert not alone.remote
    if limit.cause == "bandwidth":
        assert alone.request_alone is None or traffic.p50 is None or traffic.p50 > 2 * alone.request_alone
    if limit.cause == "latency":
        assert traffic.p50 is not None
        assert alone.request_alone is not None
        assert traffic.p50 <= 2 * alone.request_alone
    if limit.cause == "cpu":
        assert max(alone.cpu.busiest, alone.cpu.cores / cores) >= 0.7


@given(speeds(run=False), st.integers(-8, 8))
def test_the_unit_of_time_does_not_matter(measured: RankSpeeds, exponent: int) -> None:
    """Everything so many times as slow gets the same verdict; powers of two scale exactly."""
    slower = 2.0**exponent

    def rate(value: float | None) -> float | None:
        return value / slower if value is not None else None

    def time(value: float | None) -> float | None:
        return value * slower if value is not None else None

    def traffic(value: Traffic) -> Traffic:
        return replace(value, p50=time(value.p50), p99=time(value.p99))

    alone = measured.loader_alone
    if alone is not None:
        alone = replace(
            alone,
            pairs_per_second=alone.pairs_per_second / slower,
            seconds=alone.seconds * slower,
            request_alone=time(alone.request_alone),
            copy_ceiling=rate(alone.copy_ceiling),
            traffic=traffic(alone.traffic),
        )
    scaled = replace(
        measured,
        consumer_alone=rate(measured.consumer_alone),
        together=rate(measured.together),
        seconds=measured.seconds * slower,
        waited=measured.waited * slower,
        traffic=traffic(measured.traffic),
        loader_alone=alone,
    )
    one, other = judge(measured), judge(scaled)
    assert (one.bound, one.cause) == (other.bound, other.cause)


# From the best to the worst for the loader.
RANKING = {"device-bound": 0, "balanced": 1, "loader-bound": 2}


@given(speeds(), st.floats(1, 100))
def test_a_faster_loader_is_never_judged_worse(measured: RankSpeeds, factor: float) -> None:
    alone = measured.loader_alone
    if alone is None:
        return
    faster = replace(measured, loader_alone=replace(alone, pairs_per_second=alone.pairs_per_second * factor))
    before, after = judge(measured).bound, judge(faster).bound
    if before == "elsewhere":
        assert after == "elsewhere"
    else:
        assert RANKING[after] <= RANKING[before]


@given(speeds(), shares)
def test_more_waiting_is_never_judged_better(measured: RankSpeeds, more: float) -> None:
    longer = replace(measured, waited=measured.waited + more * (measured.seconds - measured.waited))
    before, after = judge(measured).bound, judge(longer).bound
    assert before != "loader-bound" or after == "loader-bound"


@pytest.mark.parametrize(
    ("alone", "cause", "line"),
    [
        (
            REMOTE,
            "latency",
            "storage latency (p50 31 ms, p99 80 ms, 28 ms for one alone; about 27 requests under way); more",
        ),
        (changed(p50=0.3), "bandwidth", "storage bandwidth (102 MB/s read for 102 MB/s wanted); a faster link"),
        (
            changed(p50=0.3, read=412_000_000),
            "bandwidth",
            "storage bandwidth (412 MB/s read for 102 MB/s wanted); ranges read only the crops",
        ),
        (changed(retries=43), "retries", "a store that refuses or fails (5% of the requests are made again)"),
        (changed(request_alone=None), "storage", "storage (102.0 MB wanted, 102.0 MB read by 862 requests"),
        (changed(remote=False), "disk", "the disk (102 MB/s read for 102 MB/s wanted); a faster disk"),
        (changed(requests=0), "storage", "storage (102.0 MB wanted, 102.0 MB read, no request counted)"),
        (
            changed(p50=0.3, cpu=CpuUse(cores=6.5, busiest=0.1), copy_ceiling=862.0),
            "cpu",
            "this machine's CPU or memory (6.5 cores wanted, 8 there, 50% of what plain memory copies reach)",
        ),
        (changed(cpu=CpuUse(cores=1.1, busiest=0.95)), "cpu", "this machine's CPU or memory (1.1 cores wanted, 8"),
        (
            changed(cpu=CpuUse(cores=30.0, busiest=0.1)),
            "latency",
            "storage latency (p50 31 ms",
        ),  # a queue of many threads
        (changed(pairs_per_second=6000), "stalls", "storage stalls (p50 31 ms, p99 80 ms), though in the mean it"),
    ],
)
def test_what_limits_the_loader_is_named(alone: LoaderAlone, cause: str, line: str) -> None:
    verdict = judge(replace(WAITED, loader_alone=alone))
    assert (verdict.bound, verdict.cause) == ("loader-bound", cause)
    assert verdict.line.startswith(f"loader-bound (78% of the time waiting): {line}")


def test_shards_that_were_kept_say_nothing_of_the_link() -> None:
    """Streaming measured on shards of an earlier run: the run itself is the only one that fetched."""
    kept = changed(pairs_per_second=20_000, requests=0, read=0, p50=None, p99=None)
    fetched = Traffic(wanted=1_000_000_000, read=6_000_000_000, requests=750, p50=0.2, p99=0.4)
    verdict = judge(replace(WAITED, loader_alone=kept, traffic=fetched))
    assert (verdict.bound, verdict.cause) == ("loader-bound", "bandwidth")
    assert "storage bandwidth (600 MB/s read for 100 MB/s wanted); ranges read only the crops" in verdict.line
    fed = judge(replace(WAITED, together=1980, waited=0.1, loader_alone=kept, traffic=fetched))
    assert fed.line.startswith("device-bound: the loader could feed 10x as much of shards that are here (20,000")


def test_two_that_share_the_cores_are_told() -> None:
    fast = changed(pairs_per_second=6000)
    verdict = judge(replace(WAITED, loader_alone=fast, cpu=CpuUse(cores=9.0, busiest=1.0)))
    assert verdict.cause == "contention"
    assert "feeds 3.0x of what the consumer takes, but both want 9.0 cores and have 8" in verdict.line


def test_a_device_that_is_fed_well_is_the_limit() -> None:
    fed = replace(WAITED, together=1980, waited=0.1, loader_alone=changed(pairs_per_second=24_000))
    verdict = judge(fed)
    line = "device-bound: the loader could feed 12x as much (24,000 pairs/s alone, the device takes 2,000)"
    assert (verdict.bound, verdict.line) == ("device-bound", line)


def test_neither_is_the_limit_where_both_are_as_fast() -> None:
    verdict = judge(replace(WAITED, together=1980, waited=0.1, loader_alone=changed(pairs_per_second=2200)))
    assert verdict.bound == "balanced"
    assert "1.1x" in verdict.line


def test_time_that_goes_into_neither_is_not_the_devices() -> None:
    verdict = judge(replace(WAITED, together=1000, waited=0.0, loader_alone=REMOTE))
    assert verdict.bound == "elsewhere"
    assert "50% of the time" in verdict.line


def test_without_ceilings_only_the_waiting_is_judged() -> None:
    bare = replace(WAITED, consumer_alone=None)
    assert judge(bare).cause == "unknown"
    assert "not measured" in judge(bare).line
    assert judge(replace(bare, waited=0.1)).bound == "balanced"
    assert judge(RankSpeeds()).bound == "unknown"
    assert judge(RankSpeeds(loader_alone=REMOTE)).line.startswith("the loader alone is limited by storage latency (")
