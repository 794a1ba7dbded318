"""The chain draws by key and applies by row: alone or in a batch, in any order, the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from clmr.augment import Chain, Filter, Gain, chain, first_order_filter
from clmr.augment.augmentation import Columns
from clmr.augment.chain import chunks
from clmr.draw import make_keys
from clmr.errors import ConfigError
from tests.clmr.augment.device_watch import META, device_watched, on_meta
from tests.clmr.augment.signals import RATES, extremes, noise
from tests.tolerances import FLOAT32_FFT

NAMES = ("paper", "official")
CPU = torch.device("cpu")


def keys(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(make_keys(seed, 0, range(count), (0,))[:, 0].copy())


def certain(name: str, sample_rate: int = 8000) -> Chain:
    """The preset with every gate open."""
    preset = Chain.preset(name, sample_rate)
    return preset.with_probability({operation.name: 1.0 for operation in preset.operations})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sample_rate", RATES)
def test_a_row_in_a_batch_equals_the_row_alone(name: str, sample_rate: int) -> None:
    for chosen in (Chain.preset(name, sample_rate), certain(name, sample_rate)):
        audio = noise(9, 8000)
        together = chosen(audio, keys(9))
        for row in range(9):
            alone = chosen(audio[row : row + 1], keys(9)[row : row + 1])[0]
            torch.testing.assert_close(alone, together[row], rtol=0, atol=FLOAT32_FFT)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_rows_does_not_matter(name: str) -> None:
    preset, audio = Chain.preset(name, 8000), noise(32, 4000)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        preset(audio[order], keys(32)[order]), preset(audio, keys(32))[order], rtol=0, atol=FLOAT32_FFT
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_gate_is_the_identity_to_the_bit(name: str) -> None:
    opened, audio = certain(name), torch.cat([noise(3, 4000), extremes(4000)])
    table = opened.draw(keys(9))
    open_rows = torch.tensor([0, 4])
    for column in table:
        if column.endswith(".gate"):
            table[column] = torch.zeros(9, dtype=torch.bool).index_fill(0, open_rows, value=True)
    out = opened.apply(audio, table)
    closed = [row for row in range(9) if row not in open_rows]
    assert torch.equal(out[closed], audio[closed])
    assert not torch.equal(out[0], audio[0])


def test_input_is_left_alone_unless_asked_otherwise() -> None:
    opened, audio = certain("paper"), noise(4, 4000)
    before = audio.clone()
    out = opened(audio, keys(4))
    assert torch.equal(audio, before)
    assert opened.apply_(audio, opened.draw(keys(4))) is audio
    assert torch.equal(audio, out)


def test_order_of_the_operations() -> None:
    """Polarity, noise, gain, filter, delay; checked against the same steps by hand."""
    opened, audio = certain("paper"), noise(5, 4000)
    kept = [each for each in opened.operations if each.name not in {"noise", "pitch", "reverb"}]
    opened = Chain(kept, 8000)
    table = opened.draw(keys(5))
    x = -audio * (10 ** (table["gain.db"] / 20)).float()[:, None, None]
    x = first_order_filter(x, table["filter.hz"], table["filter.high"], 8000)
    expected = x.clone()
    for row, ms in enumerate(table["delay.ms"].tolist()):
        expected[row, :, ms * 8 :] += 0.5 * x[row, :, : -ms * 8]
    torch.testing.assert_close(opened.apply(audio, table), expected / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_is_its_operations_one_after_the_other(name: str) -> None:
    whole, audio = Chain.preset(name, 8000), noise(20, 4000)
    expected = audio
    for operation in whole.operations:
        expected = Chain([operation], 8000)(expected, keys(20))
    assert torch.equal(whole(audio, keys(20)), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sample_rate", RATES)
def test_extreme_signals_stay_finite(name: str, sample_rate: int) -> None:
    audio = extremes(9000).repeat_interleave(20, dim=0)
    out = certain(name, sample_rate)(audio, keys(len(audio)))
    assert out.isfinite().all()
    assert out.abs().max() < 8
    assert out[:20].count_nonzero() == 0  # silence


def test_audio_shorter_than_the_delay() -> None:
    assert certain("paper")(noise(3, 50), keys(3)).isfinite().all()


def test_pieces_of_a_batch() -> None:
    rows = torch.arange(100, 400)
    assert [(len(piece), count) for piece, count in chunks(rows, META)] == [(256, 256), (48, 44)]
    assert [count for _, count in chunks(rows, CPU)] == [32] * 9 + [12]
    assert list(chunks(rows[:0], META)) == list(chunks(rows[:0], CPU)) == []
    for device in (META, CPU):
        assert torch.equal(torch.cat([piece[:count] for piece, count in chunks(rows, device)]), rows)
    (piece, count), *_ = chunks(rows[:33], META)
    assert (count, piece[32:].tolist()) == (33, [132] * 8)  # the last row, repeated
    assert {len(piece) for number in range(1, 1000) for piece, _ in chunks(torch.arange(number), META)} == {
        *range(8, 129, 8),
        *range(160, 257, 32),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_pieces_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the pieces of a device, with repeated rows that count for nothing, and in those of the CPU."""
    opened, audio = certain(name), noise(21, 4000)
    expected = opened(audio, keys(21))
    monkeypatch.setattr(chain, "DEVICE_ROWS", 16)
    monkeypatch.setattr(chain, "DEVICE_MULTIPLE", 8)
    monkeypatch.setattr(chain, "chunks", lambda rows, _: chunks(rows, META))
    torch.testing.assert_close(opened(audio, keys(21)), expected, rtol=0, atol=FLOAT32_FFT)


@pytest.mark.parametrize("name", NAMES)
def test_the_host_never_waits_for_the_device(name: str) -> None:
    opened = certain(name)
    audio = torch.empty(20, 1, 8000, device=META)
    with on_meta():
        opened(audio, keys(20))  # constants are sent once
    with device_watched():
        out = opened(audio, keys(20))
    assert out.shape == audio.shape
    assert out.device == META


@dataclass(frozen=True)
class Waiting:
    """An augmentation of a user's that looks at its audio."""

    name: ClassVar[str] = "waiting"
    look: Callable[[Tensor, Tensor], object] = lambda audio, columns: None
    probability: float = 1.0

    def draw(self, keys: Tensor) -> Columns:
        return {"row": torch.arange(len(keys))}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        self.look(audio, columns["row"])
        return audio


@pytest.mark.parametrize(
    "look",
    [
        lambda audio, row: audio.max().item(),
        lambda audio, row: audio[audio > 0],
        lambda audio, row: audio.nonzero(),
        lambda audio, row: audio.cpu(),
        lambda audio, row: bool(audio.any()),
        lambda audio, row: audio[row],
        lambda audio, row: row.to(audio.device),
        lambda audio, row: torch.tensor([1.0], device=audio.device),
    ],
)
def test_the_watch_sees_the_host_wait(look: Callable[[Tensor, Tensor], object]) -> None:
    audio = torch.empty(4, 1, 100, device=META)
    with device_watched():
        Chain([Waiting()], 8000)(audio, keys(4))
        with pytest.raises((RuntimeError, AssertionError)):
            Chain([Waiting(look)], 8000)(audio, keys(4))


def test_autocast_does_not_reach_it() -> None:
    preset, audio = certain("paper"), noise(4, 4000)
    expected = preset(audio, keys(4))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(preset(audio, keys(4)), expected)


def test_other_probabilities() -> None:
    """Figure 4 of the paper: one augmentation at 0, 0.4 or 0.8, the draws of the others as they were."""
    preset = Chain.preset("paper", 8000)
    before, after = preset.draw(keys(4000)), preset.with_probability({"delay": 0.8, "gain": 0}).draw(keys(4000))
    assert after["delay.gate"].double().mean().item() == pytest.approx(0.8, abs=0.03)
    assert not after["gain.gate"].any()
    for column in before.keys() - {"delay.gate", "gain.gate"}:
        assert torch.equal(before[column], after[column]), column
    assert preset.with_probability({}) == preset


def test_refuses_what_does_not_fit() -> None:
    preset = Chain.preset("paper", 8000)
    with pytest.raises(ConfigError, match="one of paper, official, crop, got 'papier'"):
        Chain.preset("papier", 8000)
    with pytest.raises(ConfigError, match="sample rate must be positive"):
        Chain.preset("paper", 0)
    with pytest.raises(ConfigError, match="each augmentation once"):
        Chain((Gain(), Gain()), 8000)
    with pytest.raises(ConfigError, match=r"no augmentation 'gian'; did you mean gain\?"):
        preset.with_probability({"gian": 0.5})
    with pytest.raises(ConfigError, match=r"probability of gain must be in \[0, 1\], got 1.5"):
        preset.with_probability({"gain": 1.5})
    with pytest.raises(ConfigError, match=r"float32 or float64 \[N, 1, T\], got torch.int16"):
        preset(torch.zeros(2, 1, 10, dtype=torch.int16), keys(2))
    with pytest.raises(ConfigError, match="3 rows for 2 rows"):
        preset(torch.zeros(2, 1, 10), keys(3))
    with pytest.raises(ConfigError, match="int64"):
        preset(torch.zeros(2, 1, 10), torch.zeros(2))
    with pytest.raises(ConfigError, match=r"no column gain.db; draw it by this chain"):
        preset.apply(torch.zeros(2, 1, 10), {k: v for k, v in preset.draw(keys(2)).items() if k != "gain.db"})
    with pytest.raises(ConfigError, match="first-order or sinc"):
        Filter(kind="brick")  # type: ignore[arg-type]  # what a configuration file may hold
