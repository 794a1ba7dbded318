"""Figures of loaders and runs: any that can be, and two that tests start from."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from loaders.saturation.cpu import CpuUse
from loaders.saturation.figures import LoaderAlone, RankSpeeds, Traffic

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
