"""The rule that judges a run: it never contradicts its numbers, and does not depend on the unit of time."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.cpu import CpuUse
from loaders.figures import LoaderAlone, RankSpeeds, Traffic
from loaders.verdict import OTHER, ROOM, WAIT_LITTLE, judge, limit_of

REMEDIES = r"cores|programs|disk|threads|memory|depth|access|backend|prefixes|link|bench"

rates = st.floats(1, 1e6)
shares = st.floats(0, 1)
idle = CpuUse(cores=0.1, busiest=0.05)


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    requests = draw(st.integers(0, 10**6))
    p50 = draw(st.floats(1e-5, 10)) if requests else None
    return Traffic(
        wanted=draw(st.integers(0, 10**12)),
        read=draw(st.integers(0, 10**12)),
        requests=requests,
        retries=draw(st.integers(0, requests)),
        p50=p50,
        p99=p50 * draw(st.floats(1, 100)) if p50 else None,
    )


uses = st.builds(CpuUse, cores=st.floats(0, 8), busiest=shares)
loaders = st.builds(
    LoaderAlone,
    pairs_per_second=rates,
    seconds=st.floats(0.1, 10),
    first_batch=st.floats(1e-3, 10),
    traffic=traffics(),
    cpu=uses,
    remote=st.booleans(),
    request_alone=st.none() | st.floats(1e-5, 10),
    copy_ceiling=st.none() | rates,
)


@st.composite
def speeds(draw: st.DrawFn, *, run: bool = True, whole: bool = False) -> RankSpeeds:
    """Records of runs, or without ``run`` of loaders alone too; ``whole`` ones have all ceilings."""
    seconds = draw(st.floats(0.1, 1e5))
    return RankSpeeds(
        cores=draw(st.sampled_from([0.5, 1.0, 2.0, 16.0])),
        consumer_alone=draw(rates if whole else st.none() | rates),
        loader_alone=draw(loaders if whole else st.none() | loaders),
        together=draw(rates if run else st.none() | rates),
        seconds=seconds,
        waited=seconds * draw(shares | st.floats(0, 0.1)),
        traffic=draw(traffics()),
        cpu=draw(uses),
    )


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


REMOTE = LoaderAlone(
    pairs_per_second=431,
    seconds=1.0,
    first_batch=0.1,
    traffic=Traffic(wanted=102_000_000, read=102_000_000, requests=862, p50=0.031, p99=0.08),
    cpu=idle,
    remote=True,
    request_alone=0.028,
)
WAITED = RankSpeeds(
    cores=8, consumer_alone=2000, together=430, seconds=10, waited=7.8, cpu=idle, traffic=REMOTE.traffic
)


def changed(alone: LoaderAlone = REMOTE, **fields: object) -> LoaderAlone:
    """The remote loader with other values, those of its traffic by their own names."""
    traffic = {name: value for name, value in fields.items() if name in Traffic.__dataclass_fields__}
    rest = {name: value for name, value in fields.items() if name not in traffic}
    return replace(alone, traffic=replace(alone.traffic, **traffic), **rest)  # type: ignore[arg-type]


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
        (changed(requests=0), "storage", "storage (102.0 MB wanted, 102.0 MB read, requests are not counted)"),
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
