"""The presets hold what the paper and the authors' code say: order, probabilities, ranges."""

from __future__ import annotations

import json

import pytest
import torch

from clmr.augment import Chain, Delay, Filter, Gain, Noise, Pitch, Polarity, Reverb
from clmr.augment.presets import PRESETS
from tests.clmr.augment.test_chain import NAMES, keys

ORDER = ["polarity", "noise", "gain", "filter", "delay", "pitch", "reverb"]
PERCENT = ("reverb.reverberance", "reverb.damping", "reverb.room_scale")


@pytest.mark.parametrize("name", NAMES)
def test_order_is_the_papers(name: str) -> None:
    assert [operation.name for operation in PRESETS[name]] == ORDER


def test_gates_and_ranges_are_the_papers() -> None:
    table = Chain.preset("paper", 22050).draw(keys(20_000))
    shares = {column: values.double().mean().item() for column, values in table.items() if values.dtype == torch.bool}
    expected = {
        "polarity.gate": 0.8, "noise.gate": 0.01, "gain.gate": 0.3, "filter.gate": 0.8, "delay.gate": 0.4,
        "pitch.gate": 0.4, "reverb.gate": 0.4, "filter.high": 0.5,
    }  # fmt: skip
    assert shares == pytest.approx(expected, abs=0.015)
    for name, values, low, high in (
        ("gain", table["gain.db"], -6, 0),
        ("low-pass", table["filter.hz"][~table["filter.high"]], 2200, 4000),
        ("high-pass", table["filter.hz"][table["filter.high"]], 200, 1200),
        ("pitch", table["pitch.cents"], -500, 500),
        *((column, table[column], 0, 100) for column in PERCENT),
    ):
        step = (high - low) / 100
        assert low <= values.min() < low + step, name
        assert high - step < values.max() <= high, name
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=2 * step), name
    assert (table["noise.snr_db"] - 80).abs().max() < 1e-9
    assert table["delay.ms"].unique().tolist() == [200, 250, 300, 350, 400, 450, 500]


def test_draws_of_the_authors_code() -> None:
    """Whole cents, -700 and 700 both possible; whole percents, 0 to 99; no delay of 500 ms."""
    table = Chain.preset("official", 22050).draw(keys(40_000))
    assert table["pitch.cents"].unique().tolist() == list(range(-700, 701))
    for column in PERCENT:
        assert table[column].unique().tolist() == list(range(100)), column
    assert table["delay.ms"].unique().tolist() == [200, 250, 300, 350, 400, 450]
    assert table["pitch.gate"].double().mean().item() == pytest.approx(0.6, abs=0.01)
    assert table["reverb.gate"].double().mean().item() == pytest.approx(0.6, abs=0.01)


def test_draws_are_independent() -> None:
    table = Chain.preset("paper", 22050).draw(keys(20_000))
    left_out = {"noise.snr_db", "noise.key"}
    columns = [values.double() for column, values in table.items() if column not in left_out]
    names = [column for column in table if column not in left_out]
    correlation = torch.corrcoef(torch.stack(columns))
    high, hz = names.index("filter.high"), names.index("filter.hz")
    correlation[high, hz] = correlation[hz, high] = 0  # the cutoff depends on the kind
    # 190 pairs of columns: the largest of so many normal numbers stays below 4.5 standard deviations.
    assert correlation.fill_diagonal_(0).abs().max() < 4.5 / 20_000**0.5


def test_presets_differ_where_the_authors_code_does() -> None:
    paper, official = ({operation.name: operation for operation in PRESETS[name]} for name in NAMES)
    assert paper["polarity"] == official["polarity"] == Polarity(probability=0.8)
    assert official["noise"] == Noise(probability=0.01, snr_db=(40.0, 80.0), around_mean=True)
    assert official["gain"] == Gain(probability=0.3, db=(-20.0, -1.0), clamp=True)
    assert official["filter"] == Filter(probability=0.8, kind="sinc")
    assert official["delay"] == Delay(probability=0.3, ms=(200, 450))
    assert official["pitch"] == Pitch(probability=0.6, semitones=(-7.0, 7.0), whole_cents=True, clamp=True)
    assert official["reverb"] == Reverb(probability=0.6, whole=True, clamp=True)


def test_crop_leaves_the_crop_as_it_is() -> None:
    crop, audio = Chain.preset("crop", 8000), torch.randn(3, 1, 100)
    assert crop.draw(keys(3)) == {}
    assert torch.equal(crop(audio, keys(3)), audio)


def test_describe() -> None:
    described = json.loads(json.dumps(Chain.preset("official", 16000).describe()))
    assert described["sample_rate"] == 16000
    assert [operation["name"] for operation in described["operations"]] == ORDER
    assert described["operations"][2] == {"name": "gain", "probability": 0.3, "db": [-20.0, -1.0], "clamp": True}
    assert set(described) == {"sample_rate", "operations"}
