"""The check of a device finds what differs; on the CPU, whose float32 stands for the device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from benchmarks import augment_check
from benchmarks.augment_check import CheckError, check_effects, check_matches, check_no_wait
from clmr.augment import Chain, Polarity, Views
from clmr.augment.tempo import TempoPlan, search_offsets

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Broken(Polarity):
    """Wrong in the 33rd row only, and only in float32."""

    name: ClassVar[str] = "broken"

    def apply(self, audio: Tensor, columns: dict[str, Tensor], sample_rate: int) -> Tensor:
        audio = -audio
        if audio.dtype == torch.float32 and len(audio) == 33:
            audio[32] *= 1.0001
        return audio


def test_float32_passes_and_says_how_well() -> None:
    ratios = check_effects(Chain.preset("paper", 22050), CPU, frames=3000)
    assert ratios["polarity"] == torch.inf
    assert 74 < ratios["reverb"] < 140


def test_a_difference_is_named() -> None:
    with pytest.raises(CheckError, match=r"broken is 80\.0 dB from the CPU, at least 110"):
        check_effects(Chain((Broken(),), 22050), CPU, frames=3000)


def test_a_match_elsewhere_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    check_matches(CPU, 6000)
    calls: list[int] = []

    def once_wrong(audio: Tensor, plan: TempoPlan) -> Tensor:
        calls.append(1)
        offsets = search_offsets(audio, plan)
        offsets[3, 1] += len(calls) == 1
        return offsets

    monkeypatch.setattr(augment_check, "search_offsets", once_wrong)
    with pytest.raises(CheckError, match=r"1 of [0-9]+ segments"):
        check_matches(CPU, 6000)


def test_views_pass_the_check_of_waiting() -> None:
    chain = Chain.preset("crop", 22050)
    check_no_wait(Views(chain, replace(chain)), torch.zeros(4, 2, 1000, dtype=torch.int16))
