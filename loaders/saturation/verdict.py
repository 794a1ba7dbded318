"""What holds a run up, in one line.

The rule, for the rank that waited most. ``W`` is its share of time waiting for batches. ``C`` is the consumer's rate on
a batch that stays in memory and ``L`` the loader's without a consumer, neither taken for less than what both together
reached (``T``): what they did, they can do.

    no T                                   loader alone   the limit of the loader; unknown where it was not measured
    W <= WAIT_LITTLE, 1 - W - T/C > OTHER  elsewhere      neither steps nor waiting: checkpoints, logs, other programs
    W <= WAIT_LITTLE, L >= ROOM * C        device-bound
    W <= WAIT_LITTLE                       balanced       no waiting, and no room either
    W >  WAIT_LITTLE, shards kept          loader-bound   L is of shards that were here already: by the bandwidth
    W >  WAIT_LITTLE, L >= ROOM * C        loader-bound   each alone is fast enough: by the CPU they share, or by stalls
    W >  WAIT_LITTLE                       loader-bound   by the limit of the loader alone

The limit of the loader alone: a store that has requests made again; the CPU, where one thread runs all the time; the
latency of a store, where requests take hardly longer than one alone, so that more of them at once bring more; the CPU,
where the threads want most of the cores; else the bandwidth of the store, or the disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from loaders.saturation.figures import LoaderAlone, RankSpeeds, Traffic

WAIT_LITTLE = 0.05  # share of the time waiting
ROOM = 1.25  # loader alone / consumer alone
OTHER = 0.25  # share of the time in neither
BUSY_THREAD = 0.7  # a thread of Python that hands the interpreter's lock about gets no further
BUSY_CORES = 0.75  # share of all cores
RETRIED = 0.02  # share of the requests
CROWDED = 2.0  # times as slow as a request alone: the requests wait for each other
WASTE = 1.5  # bytes read / bytes wanted


@dataclass(frozen=True)
class Verdict:
    """What holds a run up."""

    bound: str
    """device-bound, balanced, loader-bound, elsewhere, loader alone or unknown."""
    cause: str | None
    """What limits the loader, where that is what counts: cpu, disk, latency, bandwidth, retries, storage, stalls, or
    contention for the CPU with the consumer; unknown where the loader alone was not measured."""
    line: str
    """For people, with the numbers and a remedy."""


@dataclass(frozen=True)
class Limit:
    """What keeps a loader from being faster."""

    cause: str
    fact: str
    remedy: str


def judge(speeds: RankSpeeds) -> Verdict:
    """The verdict on one rank."""
    together, waiting = speeds.together, speeds.wait_share
    if together is None or together <= 0:
        return _without_consumer(speeds)
    loader = max(speeds.loader_alone.pairs_per_second, together) if speeds.loader_alone else None
    # Where the consumer was not measured alone: its rate beside the loader, the waiting taken off.
    beside = together / (1 - waiting) if waiting < 1 else together
    consumer = max(speeds.consumer_alone if speeds.consumer_alone is not None else beside, together)
    if waiting > WAIT_LITTLE:
        return _loader_bound(speeds, loader, consumer)
    other = 1 - waiting - together / consumer
    if other > OTHER:
        return Verdict(
            "elsewhere",
            None,
            f"held up elsewhere: {other:.0%} of the time goes neither into steps nor into waiting for data "
            "(checkpoints, logs, other programs on this machine)",
        )
    if loader is None:
        return Verdict(
            "balanced", None, f"not loader-bound: {waiting:.1%} of the time waiting (the loader alone was not measured)"
        )
    room = loader / consumer
    if room >= ROOM:
        here = " of shards that are here" if _kept(speeds) else ""
        line = f"device-bound: the loader could feed {_times(room)} as much{here}"
        return Verdict("device-bound", None, f"{line} ({loader:,.0f} pairs/s alone, the device takes {consumer:,.0f})")
    line = f"balanced: the loader keeps pace with {_times(room)} of what the device takes"
    return Verdict("balanced", None, f"{line}; a faster device would wait for it")


def _without_consumer(speeds: RankSpeeds) -> Verdict:
    if speeds.loader_alone is None:
        return Verdict("unknown", None, "unknown: too few steps to judge")
    limit = limit_of(speeds.loader_alone, speeds.cores)
    return Verdict("loader alone", limit.cause, f"the loader alone is limited by {limit.fact}; {limit.remedy}")


def _loader_bound(speeds: RankSpeeds, loader: float | None, consumer: float) -> Verdict:
    head = f"loader-bound ({speeds.wait_share:.0%} of the time waiting): "
    if speeds.loader_alone is None or loader is None:
        line = "the loader alone was not measured; python -m loaders bench shows what limits it"
        return Verdict("loader-bound", "unknown", head + line)
    if _kept(speeds):
        limit = _bandwidth(speeds.traffic, speeds.seconds)
        return Verdict("loader-bound", limit.cause, f"{head}{limit.fact}; {limit.remedy}")
    room = loader / consumer
    if room < ROOM:
        limit = limit_of(speeds.loader_alone, speeds.cores)
        return Verdict("loader-bound", limit.cause, f"{head}{limit.fact}; {limit.remedy}")
    if speeds.cpu.cores >= BUSY_CORES * speeds.cores:
        line = f"the consumer's CPU work; alone the loader feeds {_times(room)} of what the consumer takes, but both "
        line += f"want {speeds.cpu.cores:.1f} cores and have {speeds.cores:.3g}; give one of them fewer threads"
        return Verdict("loader-bound", "contention", head + line)
    times = f" ({speeds.traffic.latencies()})" if speeds.traffic.requests else ""
    far = speeds.loader_alone.remote and speeds.traffic.requests
    what = f"storage stalls{times}" if far else f"batches that come unevenly{times}"
    line = f"{what}, though in the mean it could feed {_times(room)} as much; read further ahead (depth)"
    return Verdict("loader-bound", "stalls", head + line)


def limit_of(alone: LoaderAlone, cores: float) -> Limit:
    """What keeps the loader alone from being faster.

    Args:
        alone: the loader, measured without a consumer.
        cores: CPU cores it may use.
    """
    traffic, far = alone.traffic, alone.remote and alone.traffic.requests > 0
    if far and traffic.retries >= RETRIED * traffic.requests:
        share = traffic.retries / traffic.requests
        fact = f"a store that refuses or fails ({share:.0%} of the requests are made again)"
        return Limit("retries", fact, "spread the shards over more prefixes, or ask the store's operator")
    # Requests that take longer than one alone hold each other up: more of them at once would only make each slower.
    single, p50 = alone.request_alone, traffic.p50
    if alone.cpu.busiest < BUSY_THREAD and far and single is not None and p50 is not None and p50 <= CROWDED * single:
        fact = f"storage latency ({traffic.latencies()}, {single * 1e3:,.3g} ms for one alone; "
        fact += f"about {traffic.requests * p50 / alone.seconds:,.0f} requests under way)"
        return Limit("latency", fact, "more requests under way (depth), or whole shards (access stream)")
    if alone.cpu.busiest >= BUSY_THREAD or alone.cpu.cores >= BUSY_CORES * cores:
        fact = f"this machine's CPU or memory ({alone.cpu.cores:.1f} cores wanted, {cores:.3g} there"
        if alone.copy_ceiling:
            fact += f", {alone.pairs_per_second / alone.copy_ceiling:.0%} of what plain memory copies reach"
        return Limit("cpu", fact + ")", "more cores, or fewer programs beside this one")
    if traffic.requests == 0 or (far and single is None):
        return Limit("storage", f"storage ({traffic.describe()})", "try another backend or access")
    if alone.remote:
        return _bandwidth(traffic, alone.seconds)
    fact = f"the disk ({_rate(traffic, alone.seconds)})"
    return Limit("disk", fact, "a faster disk, more threads, or memory that holds the shards")


def _kept(speeds: RankSpeeds) -> bool:
    """Whether the run had to fetch far more for a crop than the loader alone, which found shards kept here."""
    run, alone = speeds.traffic, speeds.loader_alone
    return alone is not None and alone.remote and run.read * alone.traffic.wanted > 2 * alone.traffic.read * run.wanted


def _bandwidth(traffic: Traffic, seconds: float) -> Limit:
    if traffic.read > WASTE * traffic.wanted:
        remedy = "ranges read only the crops (access ranges); whole shards pay from the second pass over them on"
    else:
        remedy = "a faster link, whole shards kept on a disk (access stream), or more pairs of each read"
    return Limit("bandwidth", f"storage bandwidth ({_rate(traffic, seconds)})", remedy)


def _rate(traffic: Traffic, seconds: float) -> str:
    return f"{traffic.read / seconds / 1e6:,.0f} MB/s read for {traffic.wanted / seconds / 1e6:,.0f} MB/s wanted"


def _times(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 10 else f"{factor:.1f}x"
