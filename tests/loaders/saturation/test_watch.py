"""A run watched: its waiting is what it was, on the host's clock and on a device's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from loaders import PairLoader
from loaders.saturation.figures import IDLE, RankSpeeds
from loaders.saturation.measure import measure_loader
from loaders.saturation.report import Saturation
from loaders.saturation.verdict import Verdict
from loaders.saturation.watch import DeviceWaiting, SaturationLog
from tests.loaders.slow import slow_down
from tests.loaders.small_shards import CROP

BATCH = 8


@pytest.fixture
def loader(shards: Path) -> Iterator[PairLoader]:
    with PairLoader(shards, batch_size=BATCH, crop_frames=CROP, threads=1) as opened:
        yield opened


def run(log: SaturationLog, consume: Callable[[], None], steps: int) -> RankSpeeds:
    for _ in range(steps):
        log.take()
        consume()
        log.stepped()
    return log.speeds()


def test_the_log_hands_out_the_loaders_batches_epoch_after_epoch(loader: PairLoader) -> None:
    log = SaturationLog(loader)
    assert [(batch.epoch, batch.step) for batch in (log.take() for _ in range(7))] == [
        *((0, step) for step in range(5)),
        *((1, step) for step in range(2)),
    ]


def test_waiting_and_pace_are_those_of_the_run(loader: PairLoader) -> None:
    """30 ms of waiting and 10 ms of work a step, and whatever the machine adds."""
    speeds = run(SaturationLog(slow_down(loader, lambda: time.sleep(0.03))), lambda: time.sleep(0.01), 11)
    assert speeds.seconds >= 10 * 0.04
    assert 10 * 0.03 <= speeds.waited <= speeds.seconds - 10 * 0.01
    assert speeds.together == pytest.approx(10 * BATCH / speeds.seconds)
    assert speeds.traffic.wanted == 10 * BATCH * 2 * CROP * 2, "what is read ahead is as much at both ends"
    assert speeds.uploading == 0


def test_the_first_step_is_not_in_the_account(loader: PairLoader) -> None:
    delays = iter([0.3])
    begin = time.perf_counter()
    speeds = run(SaturationLog(slow_down(loader, lambda: time.sleep(next(delays, 0.0)))), lambda: None, 4)
    assert speeds.waited <= speeds.seconds <= time.perf_counter() - begin - 0.3
    assert speeds.together is not None


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_too_short_for_an_account_has_none(loader: PairLoader, steps: int) -> None:
    log = SaturationLog(loader)
    assert run(log, lambda: None, steps).together is None
    assert log.scalars() == {}
    assert Saturation.of([log.speeds()]).verdict.bound == "unknown"


def test_scalars_are_of_the_time_since_the_last_call(loader: PairLoader) -> None:
    delays = iter([0.0, *[0.05] * 4])
    log = SaturationLog(slow_down(loader, lambda: time.sleep(next(delays, 0.0))))
    run(log, lambda: None, 5)
    first = log.scalars()
    assert first["wait_share"] > 0.5
    assert first["loader/megabytes_wanted_per_second"] > 0
    assert first["loader/request_p50_ms"] <= first["loader/request_p99_ms"]
    assert log.scalars() == {}, "no step was taken"
    run(log, lambda: time.sleep(0.05), 4)
    assert log.scalars()["wait_share"] < 0.5


def judged(loader: PairLoader, consume: Callable[[], None], *, steps: int, consumer_seconds: float) -> Verdict:
    alone = measure_loader(loader, 0.5)
    log = SaturationLog(loader, consumer_alone=BATCH / consumer_seconds, loader_alone=alone)
    return Saturation.of([run(log, consume, steps)]).verdict


def test_a_slow_consumer_is_found(loader: PairLoader) -> None:
    verdict = judged(loader, lambda: time.sleep(0.2), steps=5, consumer_seconds=0.2)
    assert verdict.bound == "device-bound", verdict


def test_a_slow_loader_is_found(loader: PairLoader) -> None:
    slow = slow_down(loader, lambda: time.sleep(0.1))
    verdict = judged(slow, lambda: time.sleep(0.01), steps=5, consumer_seconds=0.01)
    assert (verdict.bound, verdict.cause) == ("loader-bound", "disk"), verdict


def test_stalls_of_a_loader_that_is_fast_in_the_mean_are_found(loader: PairLoader) -> None:
    numbers = iter(range(1000))
    alone = measure_loader(loader, 0.2)
    stalling = slow_down(loader, lambda: time.sleep(0.3 if next(numbers) % 4 == 3 else 0.0))
    log = SaturationLog(stalling, consumer_alone=BATCH / 0.03, loader_alone=alone)
    speeds = run(log, lambda: time.sleep(0.03), 9)
    verdict = Saturation.of([replace(speeds, cpu=IDLE)]).verdict  # other programs may want the cores
    assert (verdict.bound, verdict.cause) == ("loader-bound", "stalls"), verdict


def test_a_consumer_that_spends_its_time_elsewhere_is_found(loader: PairLoader) -> None:
    alone = measure_loader(loader, 0.2)
    log = SaturationLog(loader, consumer_alone=BATCH / 0.08, loader_alone=alone)
    speeds = run(log, lambda: time.sleep(0.2), 5)
    verdict = Saturation.of([replace(speeds, waited=0.0)]).verdict  # a busy machine may hold up the loader too
    assert verdict.bound == "elsewhere", verdict


class Stream:
    """A device's stream of work as torch shows it by events, on a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0  # of the host, in seconds
        self.free = 0.0  # when all given work is done
        self.events: list[Event] = []

    def work(self, seconds: float) -> None:
        """Give it work; the host goes on at once."""
        self.free = max(self.free, self.now) + seconds


class Event:
    stream: Stream

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: Stream) -> None:
        self.at = max(stream.free, stream.now)
        self.stream = stream

    def query(self) -> bool:
        return self.at <= self.stream.now

    def elapsed_time(self, other: Event) -> float:
        return (other.at - self.at) * 1e3


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    made = Stream()
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: made)
    return made


@pytest.mark.parametrize(
    ("host_waits", "step", "idle"),
    [
        (0.02, 0.03, 0.0),  # the host waits two thirds as long as the device computes: the device never stops
        (0.05, 0.03, 0.02),  # it stops for what the batch took longer than the step
        (0.0, 0.03, 0.0),
    ],
)
def test_a_device_waits_only_when_it_has_nothing_to_do(
    stream: Stream, host_waits: float, step: float, idle: float
) -> None:
    waiting = DeviceWaiting(torch.device("cuda"))
    stream.work(step)
    for _ in range(10):
        waiting.begin()
        stream.now += host_waits
        waiting.end()
        stream.work(step)
    stream.now = stream.free
    assert waiting.seconds() == pytest.approx(10 * idle)


def test_a_device_that_waits_for_the_copy_waits(stream: Stream) -> None:
    """The host has the batch at once; its copy is what the stream waits for."""
    waiting = DeviceWaiting(torch.device("cuda"))
    waiting.begin()
    stream.free += 0.004
    waiting.end()
    assert waiting.seconds() == 0, "the device has not come so far"
    stream.now = 1.0
    assert waiting.seconds() == pytest.approx(0.004)
    assert waiting.seconds() == pytest.approx(0.004)
