"""Views take the loader's pairs apart, send each through its chain, and keep tracks and views where they belong."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from clmr.augment import Chain, Filter, Gain, Table, Views
from clmr.draw import make_keys
from clmr.errors import ConfigError
from tests.clmr.augment.device_watch import META, device_watched, on_meta
from tests.tolerances import FLOAT32_FFT

RATE = 8000
PCM = torch.randint(-20_000, 20_000, (5, 2, 4000), dtype=torch.int16, generator=torch.Generator().manual_seed(0))
KEYS = torch.from_numpy(make_keys(0, 0, range(5)))
ABLATION = Views(Chain((), RATE), Chain((Filter(probability=1.0),), RATE))


def row_by_row(views: Views) -> Tensor:
    """Every view by itself, through the chain of its side."""
    sides = [
        torch.cat([side(PCM[row : row + 1, view, None].float() / 32768, KEYS[row, view, None]) for row in range(5)])
        for view, side in enumerate((views.first, views.second))
    ]
    return torch.stack(sides)


@pytest.mark.parametrize("views", [Views.preset("paper", RATE), Views.preset("official", RATE), ABLATION])
def test_views_are_the_two_crops_through_their_chains(views: Views) -> None:
    got = views(PCM, KEYS)
    assert got.shape == (2, 5, 1, 4000)
    torch.testing.assert_close(got, row_by_row(views), rtol=0, atol=FLOAT32_FFT)


def test_one_view_only_cropped() -> None:
    """The asymmetric setting of the paper's Table 2: identity on one side, crop and one operation on the other."""
    got = ABLATION(PCM, KEYS)
    assert torch.equal(got[0, :, 0] * 32768, PCM[:, 0].float())
    assert not torch.isclose(got[1, :, 0] * 32768, PCM[:, 1].float()).all(dim=1).any()


def test_equal_chains_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    apply = Chain.apply_

    def counted(self: Chain, audio: Tensor, table: Table) -> Tensor:
        rows.append(len(audio))
        return apply(self, audio, table)

    monkeypatch.setattr(Chain, "apply_", counted)
    Views(Chain([Gain()], RATE), Chain((Gain(),), RATE))(PCM, KEYS)
    assert rows == [10]
    ABLATION(PCM, KEYS)
    assert rows == [10, 5, 5]


@pytest.mark.parametrize("views", [Views.preset("paper", RATE), ABLATION])
def test_tables_can_be_applied_again(views: Views) -> None:
    tables = views.draw(KEYS)
    assert len(tables[1]["filter.gate"]) == 5
    assert torch.equal(views.apply(PCM, tables), views(PCM, KEYS))


def test_crops_are_left_alone() -> None:
    before = PCM.clone()
    Views.preset("paper", RATE)(PCM, KEYS)
    assert torch.equal(PCM, before)


def test_float64_is_the_reference() -> None:
    views = Views.preset("paper", RATE).with_probability({"pitch": 0})  # its search may decide a tie otherwise
    exact = views(PCM, KEYS, torch.float64)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(views(PCM, KEYS).double(), exact, rtol=0, atol=FLOAT32_FFT)


@pytest.mark.parametrize("views", [Views.preset("paper", RATE), ABLATION])
def test_the_host_never_waits_for_the_device(views: Views) -> None:
    pcm = torch.empty(5, 2, 4000, dtype=torch.int16, device=META)
    with on_meta():
        views(pcm, KEYS)  # constants are sent once
    with device_watched():
        assert views(pcm, KEYS).shape == (2, 5, 1, 4000)


def test_probabilities_of_the_views_that_have_the_operation() -> None:
    views = ABLATION.with_probability({"filter": 0.25})
    assert views.first == ABLATION.first
    assert views.second.operations == (Filter(probability=0.25),)
    assert Views.preset("paper", RATE).with_probability({"gain": 1}).same
    with pytest.raises(ConfigError, match=r"no view has an augmentation 'filtre'; did you mean filter\?"):
        ABLATION.with_probability({"filtre": 0.25})
    with pytest.raises(ConfigError, match="probability of filter"):
        ABLATION.with_probability({"filter": -0.25})


def test_describe() -> None:
    paper = Views.preset("paper", RATE)
    assert paper.describe() == paper.first.describe()
    described = json.loads(json.dumps(ABLATION.describe()))
    assert list(described) == ["sample_rate", "first", "second"]
    assert described["first"] == {"operations": []}
    assert described["second"]["operations"][0]["name"] == "filter"


def test_refuses_what_does_not_fit() -> None:
    views = Views.preset("paper", RATE)
    with pytest.raises(ConfigError, match=r"one sample rate, got 8000 and 16000"):
        Views(Chain((), 8000), Chain((), 16000))
    with pytest.raises(ConfigError, match=r"int16 \[B, 2, T\], two for each track, got \[5, 4000\]"):
        views(PCM[:, 0], KEYS)
    with pytest.raises(ConfigError, match=r"int64 \[B, 2\], one for each view, got \[10\]"):
        views(PCM, KEYS.flatten())
    with pytest.raises(ConfigError, match="int16"):
        views(PCM.float(), KEYS)
    with pytest.raises(ConfigError, match="rows"):
        views(PCM, KEYS[:3])
