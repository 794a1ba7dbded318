"""Kernels stand in where they can, and say so where they should and cannot."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from clmr.augment.kernels import launch
from clmr.errors import ConfigError


@dataclass
class OnDevice:
    """As much of a tensor as is looked at; there is no GPU here to have one."""

    is_cuda: bool = True
    dtype: torch.dtype = torch.float32
    requires_grad: bool = False


def takes(audio: OnDevice) -> bool:
    return launch.use_kernels(audio)  # type: ignore[arg-type]  # a stand-in


def test_float32_on_a_gpu_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_triton_is_there", lambda: True)
    assert takes(OnDevice())
    assert not takes(OnDevice(is_cuda=False))
    assert not takes(OnDevice(dtype=torch.float64))
    assert not takes(OnDevice(requires_grad=True))
    with torch.no_grad():
        assert takes(OnDevice(requires_grad=True))


def test_not_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    launch._triton_is_there.cache_clear()
    assert not takes(OnDevice())
    launch._triton_is_there.cache_clear()


def test_triton_that_reaches_no_gpu_is_an_error() -> None:
    """As on this machine, or one with no compiler: the slow way is not taken in silence."""
    launch._triton_is_there.cache_clear()
    if torch.cuda.is_available():
        assert takes(OnDevice())
    else:
        with pytest.raises(ConfigError, match=r"Triton cannot launch kernels here \(.+\): it needs a C compiler"):
            takes(OnDevice())
