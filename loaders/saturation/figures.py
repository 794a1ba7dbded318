"""What was measured of a loader and its consumer on one rank. All rates are pairs per second of that rank."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from loaders.reading.meter import Counts
from loaders.saturation.cpu import CpuUse

IDLE = CpuUse(cores=0.0, busiest=0.0)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What reading moved and how long requests took."""

    wanted: int = 0
    """Bytes of the crops that were asked for."""
    read: int = 0
    """Bytes that came for them."""
    requests: int = 0
    """Requests to a server, or calls of the system."""
    retries: int = 0
    """Requests that were made again."""
    p50: float | None = None
    """Seconds within which half of the requests were answered; None where there was none."""
    p99: float | None = None

    @staticmethod
    def of(counts: Counts) -> Traffic:
        """Sum up a meter's counts."""
        return Traffic(
            wanted=counts.wanted,
            read=counts.read,
            requests=counts.requests,
            retries=counts.retries,
            p50=counts.percentile(0.5),
            p99=counts.percentile(0.99),
        )

    def latencies(self) -> str:
        """How long requests took, for people; empty where there was none."""
        if self.p50 is None or self.p99 is None:
            return ""
        return f"p50 {self.p50 * 1e3:,.3g} ms, p99 {self.p99 * 1e3:,.3g} ms"

    def describe(self) -> str:
        """All of it in one line."""
        moved = f"{self.wanted / 1e6:,.1f} MB wanted, {self.read / 1e6:,.1f} MB read"
        if not self.requests:
            return f"{moved}, no request counted"
        return f"{moved} by {self.requests:,} requests ({self.latencies()}), {self.retries:,} of them made again"


@dataclass(frozen=True, kw_only=True)
class LoaderAlone:
    """A loader whose batches were dropped as they came."""

    pairs_per_second: float
    seconds: float
    """How long it was measured."""
    first_batch: float
    """Seconds until the first batch was there; not part of the rate."""
    opening: Traffic = Traffic()
    """Until the first batch was there."""
    traffic: Traffic
    """While it was measured."""
    cpu: CpuUse
    remote: bool = False
    """The shards are in an object store."""
    request_alone: float | None = None
    """Seconds of a request of the usual size while no other is under way; None where that was not tried."""
    copy_ceiling: float | None = None
    """Pairs per second of plain memory copies by the same threads; None where that was not measured."""


@dataclass(frozen=True, kw_only=True)
class RankSpeeds:
    """The three ceilings of one rank, and what it waited for."""

    rank: int = 0
    device: str = "cpu"
    loader: str = ""
    """How batches come, in the loader's own words."""
    cores: float = 1.0
    """CPU cores this process may use."""
    pair_bytes: int = 0
    """Bytes of a pair of crops."""
    consumer_alone: float | None = None
    """The consumer on one batch that stays in memory; None where that was not measured."""
    loader_alone: LoaderAlone | None = None
    """None where that was not measured."""
    together: float | None = None
    """Both: what the run does; None before its second step."""
    seconds: float = 0.0
    """How long both ran together."""
    waited: float = 0.0
    """Of these, those in which the device could not go on for want of a batch."""
    uploading: float = 0.0
    """Seconds of copies from host to device while both ran; they run beside the computation."""
    traffic: Traffic = Traffic()
    """While both ran."""
    cpu: CpuUse = IDLE
    """Of the whole process, while both ran."""

    @property
    def wait_share(self) -> float:
        """Share of the time in which the device could not go on for want of a batch, 0 to 1."""
        return min(1.0, self.waited / self.seconds) if self.seconds > 0 else 0.0

    def to_values(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Self:
        """The record that :meth:`to_values` described.

        Raises:
            TypeError: these are not its values.
            KeyError: likewise.
        """
        alone = values["loader_alone"]
        if alone is not None:
            traffic = {name: Traffic(**alone[name]) for name in ("opening", "traffic")}
            alone = LoaderAlone(**{**alone, **traffic, "cpu": CpuUse(**alone["cpu"])})
        return cls(
            **{
                **values,
                "loader_alone": alone,
                "traffic": Traffic(**values["traffic"]),
                "cpu": CpuUse(**values["cpu"]),
            }
        )
