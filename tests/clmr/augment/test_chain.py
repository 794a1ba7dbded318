"""The chain draws by key and applies by row: alone or in a batch, in any order, the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from clmr.augment import Chain, Delay, Filter, Gain, Noise, Polarity, first_order_filter, from_int16
from clmr.augment.chain import PRESETS
from clmr.draw import make_keys
from clmr.errors import ConfigError
from tests.clmr.augment.signals import RATES, extremes, noise
from tests.tolerances import FLOAT32_FFT

NAMES = ("paper", "official")


def keys(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(make_keys(seed, 0, range(count), (0,))[:, 0].copy())


def certain(name: str, sample_rate: int = 8000) -> Chain:
    """The preset with every gate open."""
    return Chain(tuple(replace(operation, probability=1.0) for operation in PRESETS[name]), sample_rate)  # type: ignore[type-var]  # all are dataclasses


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sample_rate", RATES)
def test_a_row_in_a_batch_equals_the_row_alone(name: str, sample_rate: int) -> None:
    for chain in (Chain.preset(name, sample_rate), certain(name, sample_rate)):
        audio = noise(9, 8000)
        together = chain(audio, keys(9))
        for row in range(9):
            alone = chain(audio[row : row + 1], keys(9)[row : row + 1])[0]
            torch.testing.assert_close(alone, together[row], rtol=0, atol=FLOAT32_FFT)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_rows_does_not_matter(name: str) -> None:
    chain, audio = Chain.preset(name, 8000), noise(32, 4000)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        chain(audio[order], keys(32)[order]), chain(audio, keys(32))[order], rtol=0, atol=FLOAT32_FFT
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_gate_is_the_identity_to_the_bit(name: str) -> None:
    chain, audio = certain(name), torch.cat([noise(3, 4000), extremes(4000)])
    table = chain.draw(keys(9))
    open_rows = torch.tensor([0, 4])
    for column in table:
        if column.endswith(".gate"):
            table[column] = torch.zeros(9, dtype=torch.bool).index_fill(0, open_rows, value=True)
    out = chain.apply(audio, table)
    closed = [row for row in range(9) if row not in open_rows]
    assert torch.equal(out[closed], audio[closed])
    assert not torch.equal(out[0], audio[0])


def test_input_is_left_alone() -> None:
    audio = noise(4, 4000)
    before = audio.clone()
    certain("paper")(audio, keys(4))
    assert torch.equal(audio, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_can_be_replayed(name: str) -> None:
    chain, audio = Chain.preset(name, 8000), noise(20, 4000)
    table = chain.draw(keys(20))
    logged = {column: torch.tensor(values.tolist(), dtype=values.dtype) for column, values in table.items()}
    assert torch.equal(chain.apply(audio, logged), chain(audio, keys(20)))


def test_order_of_the_operations() -> None:
    """Polarity, noise, gain, filter, delay; checked against the same steps by hand."""
    assert [operation.name for operation in PRESETS["paper"]] == ["polarity", "noise", "gain", "filter", "delay"]
    chain, audio = certain("paper"), noise(5, 4000)
    chain = Chain(tuple(operation for operation in chain.operations if operation.name != "noise"), 8000)
    table = chain.draw(keys(5))
    x = -audio * (10 ** (table["gain.db"] / 20)).float()[:, None, None]
    x = first_order_filter(x, table["filter.hz"], table["filter.high"], 8000)
    expected = x.clone()
    for row, ms in enumerate(table["delay.ms"].tolist()):
        expected[row, :, ms * 8 :] += 0.5 * x[row, :, : -ms * 8]
    torch.testing.assert_close(chain.apply(audio, table), expected / 2, rtol=0, atol=1e-6)


def test_gates_and_ranges_are_the_papers() -> None:
    table = Chain.preset("paper", 22050).draw(keys(20_000))
    shares = {column: values.double().mean().item() for column, values in table.items() if values.dtype == torch.bool}
    expected = {
        "polarity.gate": 0.8, "noise.gate": 0.01, "gain.gate": 0.3, "filter.gate": 0.8, "delay.gate": 0.4,
        "filter.high": 0.5,
    }  # fmt: skip
    assert shares == pytest.approx(expected, abs=0.015)
    for name, values, low, high in (
        ("gain", table["gain.db"], -6, 0),
        ("low-pass", table["filter.hz"][~table["filter.high"]], 2200, 4000),
        ("high-pass", table["filter.hz"][table["filter.high"]], 200, 1200),
    ):
        step = (high - low) / 100
        assert low <= values.min() < low + step, name
        assert high - step < values.max() <= high, name
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=2 * step), name
    assert (table["noise.snr_db"] - 80).abs().max() < 1e-9


def test_gates_are_independent() -> None:
    table = Chain.preset("paper", 22050).draw(keys(20_000))
    columns = [values.double() for column, values in table.items() if column not in {"noise.snr_db", "noise.key"}]
    correlation = torch.corrcoef(torch.stack(columns))
    high = list(table).index("filter.high") - 2, list(table).index("filter.hz") - 2
    correlation[high], correlation[high[::-1]] = 0, 0  # the cutoff depends on the kind
    assert correlation.fill_diagonal_(0).abs().max() < 4 / 20_000**0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sample_rate", RATES)
def test_extreme_signals_stay_finite(name: str, sample_rate: int) -> None:
    audio = extremes(9000).repeat_interleave(20, dim=0)
    out = certain(name, sample_rate)(audio, keys(len(audio)))
    assert out.isfinite().all()
    assert out.abs().max() < 4
    assert out[:20].count_nonzero() == 0  # silence


def test_audio_shorter_than_the_delay() -> None:
    assert certain("paper")(noise(3, 50), keys(3)).isfinite().all()


def test_describe() -> None:
    described = json.loads(json.dumps(Chain.preset("official", 16000).describe()))
    assert described["sample_rate"] == 16000
    assert [operation["name"] for operation in described["operations"]] == [
        "polarity", "noise", "gain", "filter", "delay",
    ]  # fmt: skip
    assert described["operations"][2] == {"name": "gain", "probability": 0.3, "db": [-20.0, -1.0], "clamp": True}
    assert described["not_included"] == ["pitch", "reverb"]


def test_presets_differ_where_the_authors_code_does() -> None:
    paper, official = ({operation.name: operation for operation in PRESETS[name]} for name in NAMES)
    assert paper["polarity"] == official["polarity"] == Polarity(probability=0.8)
    assert official["noise"] == Noise(probability=0.01, snr_db=(40.0, 80.0))
    assert official["gain"] == Gain(probability=0.3, db=(-20.0, -1.0), clamp=True)
    assert official["filter"] == Filter(probability=0.8, kind="sinc")
    assert official["delay"] == Delay(probability=0.3, ms=(200, 450))


def test_int16_to_float() -> None:
    pcm = torch.tensor([[[-32768, 0], [32767, 1]], [[5, 6], [7, 8]]], dtype=torch.int16)
    audio = from_int16(pcm)
    assert audio.shape == (4, 1, 2)
    assert audio[:, 0].mul(32768).tolist() == [[-32768, 0], [32767, 1], [5, 6], [7, 8]]
    with pytest.raises(ConfigError, match="int16"):
        from_int16(pcm.float())


def test_refuses_what_does_not_fit() -> None:
    chain = Chain.preset("paper", 8000)
    with pytest.raises(ConfigError, match="one of paper, official, got 'papier'"):
        Chain.preset("papier", 8000)
    with pytest.raises(ConfigError, match="sample rate must be positive"):
        Chain.preset("paper", 0)
    with pytest.raises(ConfigError, match="each augmentation once"):
        Chain((Gain(), Gain()), 8000)
    with pytest.raises(ConfigError, match=r"float \[N, 1, T\], got torch.int16"):
        chain(torch.zeros(2, 1, 10, dtype=torch.int16), keys(2))
    with pytest.raises(ConfigError, match="3 rows for 2 rows"):
        chain(torch.zeros(2, 1, 10), keys(3))
    with pytest.raises(ConfigError, match="int64"):
        chain(torch.zeros(2, 1, 10), torch.zeros(2))
    with pytest.raises(ConfigError, match="first-order or sinc"):
        Filter(kind="brick")  # type: ignore[arg-type]  # what a configuration file may hold
