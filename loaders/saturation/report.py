"""The saturation report of a run: every rank's ceilings and waiting, joined, judged in one line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clmr.errors import ConfigError
from loaders.saturation.figures import RankSpeeds, Traffic
from loaders.saturation.verdict import WAIT_LITTLE, Verdict, judge

VERSION = 1


@dataclass(frozen=True)
class Saturation:
    """The ranks of a run. They go step by step together, so the slowest one's pace is everyone's."""

    ranks: tuple[RankSpeeds, ...]
    """By rank."""

    @staticmethod
    def of(ranks: Iterable[RankSpeeds]) -> Saturation:
        """Join the records of all ranks, in any order.

        Raises:
            ConfigError: a rank is missing or there twice.
        """
        ordered = tuple(sorted(ranks, key=lambda speeds: speeds.rank))
        if not ordered or [speeds.rank for speeds in ordered] != list(range(len(ordered))):
            found = [speeds.rank for speeds in ordered]
            raise ConfigError(f"saturation report of ranks {found}: each of 0 .. world size - 1 is needed once")
        return Saturation(ordered)

    @property
    def slowest(self) -> RankSpeeds:
        """The rank that waits most; where none waits noticeably, the one whose loader has the least room."""
        most = max(self.ranks, key=lambda speeds: speeds.wait_share)
        measured = [speeds for speeds in self.ranks if speeds.loader_alone]
        if most.wait_share > WAIT_LITTLE or len(measured) < len(self.ranks):
            return most
        return min(measured, key=lambda speeds: speeds.loader_alone.pairs_per_second if speeds.loader_alone else 0.0)

    @property
    def verdict(self) -> Verdict:
        """What holds the run up."""
        verdict = judge(self.slowest)
        if len(self.ranks) == 1:
            return verdict
        where = f"of rank {self.slowest.rank}, the slowest of {len(self.ranks)}"
        return Verdict(verdict.bound, verdict.cause, f"{verdict.line}; {where}")

    @property
    def together(self) -> float | None:
        """Pairs per second of all ranks in the run."""
        return _sum(speeds.together for speeds in self.ranks)

    @property
    def consumer_alone(self) -> float | None:
        """Pairs per second of all ranks' consumers on batches that stay in memory."""
        return _sum(speeds.consumer_alone for speeds in self.ranks)

    @property
    def loader_alone(self) -> float | None:
        """Pairs per second that all ranks would get without a consumer, at the pace of the slowest."""
        rates = [speeds.loader_alone.pairs_per_second for speeds in self.ranks if speeds.loader_alone]
        return len(rates) * min(rates) if len(rates) == len(self.ranks) else None

    @property
    def traffic(self) -> Traffic:
        """Of all ranks together; latencies are the slowest rank's."""
        return Traffic(
            wanted=sum(speeds.traffic.wanted for speeds in self.ranks),
            read=sum(speeds.traffic.read for speeds in self.ranks),
            requests=sum(speeds.traffic.requests for speeds in self.ranks),
            retries=sum(speeds.traffic.retries for speeds in self.ranks),
            p50=self.slowest.traffic.p50,
            p99=self.slowest.traffic.p99,
        )

    def scalars(self) -> dict[str, float]:
        """For TensorBoard: name -> value; what was not measured is left out."""
        slowest, traffic = self.slowest, self.traffic
        values = {
            "together": self.together,
            "consumer_alone": self.consumer_alone,
            "loader_alone": self.loader_alone,
            "wait_share": slowest.wait_share,
            "upload_seconds": max(speeds.uploading for speeds in self.ranks),
            "bytes_wanted": traffic.wanted,
            "bytes_read": traffic.read,
            "requests": traffic.requests,
            "retries": traffic.retries,
            "request_p50": traffic.p50,
            "request_p99": traffic.p99,
        }
        return {f"saturation/{name}": float(value) for name, value in values.items() if value is not None}

    def to_json(self) -> str:
        """The whole report; write it to a file as it is."""
        verdict = self.verdict
        content = {
            "version": VERSION,
            "verdict": verdict.line,
            "bound": verdict.bound,
            "cause": verdict.cause,
            "world_size": len(self.ranks),
            "slowest_rank": self.slowest.rank,
            "pairs_per_second": {
                "consumer_alone": self.consumer_alone,
                "loader_alone": self.loader_alone,
                "together": self.together,
            },
            "wait_share": self.slowest.wait_share,
            "ranks": [speeds.to_values() for speeds in self.ranks],
        }
        return json.dumps(content, indent=2) + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> Saturation:
        """Read what :meth:`to_json` wrote.

        Raises:
            ConfigError: it is no saturation report of this version.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            if content["version"] != VERSION:
                raise ConfigError(f"saturation report of version {content['version']}; this program reads {VERSION}")
            return Saturation.of(RankSpeeds.from_values(values) for values in content["ranks"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"this is no saturation report ({type(error).__name__}: {error})") from error

    def table(self) -> str:
        """A few lines for people, the verdict last."""
        slowest = self.slowest
        lines = [
            f"consumer alone   {_rate(self.consumer_alone)}",
            f"loader alone     {_rate(self.loader_alone)}",
            f"both together    {_rate(self.together)}",
            f"waiting          {slowest.waited:.2f} of {slowest.seconds:.2f} s ({slowest.wait_share:.1%})",
            f"reading          {self.traffic.describe()}",
        ]
        if slowest.device != "cpu":
            lines.append(f"host to device   {slowest.uploading:.2f} s beside the computation, on {slowest.device}")
        return "\n".join([*lines, f"verdict          {self.verdict.line}"])


def _sum(rates: Iterable[float | None]) -> float | None:
    """The sum, or None where one is missing."""
    known = list(rates)
    return None if None in known else sum(rate for rate in known if rate is not None)


def _rate(rate: float | None) -> str:
    return "not measured" if rate is None else f"{rate:,.0f} pairs/s"
