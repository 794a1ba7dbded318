"""A table written down and read again makes the same audio, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from clmr.augment import Chain, load_table, save_table, table_from_rows, table_rows
from clmr.errors import ConfigError
from tests.clmr.augment.signals import noise
from tests.clmr.augment.test_chain import NAMES, keys


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_table_can_be_replayed(name: str, tmp_path: Path) -> None:
    chain, audio = Chain.preset(name, 8000), noise(20, 4000)
    table = chain.draw(keys(20))
    save_table(table, tmp_path / "table.jsonl")
    loaded = load_table(tmp_path / "table.jsonl")
    assert list(loaded) == list(table)
    for column, values in table.items():
        assert loaded[column].dtype == values.dtype, column
        assert torch.equal(loaded[column], values), column
    assert torch.equal(chain.apply(audio, loaded), chain(audio, keys(20)))


def test_rows_are_plain_numbers() -> None:
    rows = table_rows(Chain.preset("paper", 8000).draw(keys(3)))
    assert len(rows) == 3
    assert {type(value) for row in rows for value in row.values()} == {bool, int, float}
    assert table_rows({}) == []


def test_the_hardest_numbers_survive(tmp_path: Path) -> None:
    table = {
        "a.key": torch.tensor([-(2**63), 2**63 - 1, 2**53 + 1]),
        "a.x": torch.tensor([0.1, 5e-324, 1.7976931348623157e308], dtype=torch.float64),
        "a.gate": torch.tensor([True, False, True]),
    }
    save_table(table, tmp_path / "table.jsonl")
    loaded = load_table(tmp_path / "table.jsonl")
    assert all(torch.equal(loaded[column], values) for column, values in table.items())


def test_a_crops_table_is_empty(tmp_path: Path) -> None:
    save_table({}, tmp_path / "table.jsonl")
    assert load_table(tmp_path / "table.jsonl") == {}


def test_what_is_logged_beside_it_is_passed_over() -> None:
    rows = [{"track": 7, "view": view, "gain.gate": True, "gain.db": -3.0 * view} for view in (0, 1)]
    table = table_from_rows(rows)
    assert list(table) == ["gain.gate", "gain.db"]
    assert table["gain.db"].tolist() == [0, -3]


def test_torchs_default_device_does_not_matter() -> None:
    with torch.device("meta"):
        table = table_from_rows([{"gain.gate": True, "gain.db": -3.0}])
    assert {values.device.type for values in table.values()} == {"cpu"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"gain.db": -3.0}, {"gain.dB": -3.0}], r"table.jsonl: row 2 .* differ in columns: gain.dB"),
        ([{"gain.db": -3.0}, {"gain.db": -3}], r"row 2 .* gain.db = -3 is of another type"),
        ([{"gain.db": "loud"}], r"row 1 .* gain.db = 'loud' is of another type"),
        (
            [{"noise.key": 1}, {"noise.key": 2**63}],
            r"row 2 .* noise.key = 9223372036854775808 does not fit",
        ),
        ([{"noise.key": -(2**63) - 1}], r"row 1 .* does not fit the 64 bits of an integer"),
        ([3], r"table.jsonl line 1 is not a JSON object"),
    ],
)
def test_refuses_other_tables(tmp_path: Path, lines: list[object], message: str) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_table(path)


def test_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.jsonl cannot be read"):
        load_table(tmp_path / "none.jsonl")
    (tmp_path / "song.wav").write_bytes(b"RIFF\xff\xfe")
    with pytest.raises(ConfigError, match=r"song.wav cannot be read"):
        load_table(tmp_path / "song.wav")
    (tmp_path / "text").write_text("gain.db -3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="text line 1 is not JSON"):
        load_table(tmp_path / "text")
