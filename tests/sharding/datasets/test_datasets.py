"""Every data set is there under its name, and refuses what it does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from clmr.errors import ConfigError
from sharding.datasets import DATASETS
from sharding.datasets.catalog import Request
from sharding.storage import LocalPlace


def test_the_names() -> None:
    assert list(DATASETS) == ["folder", "demo", "study", "mtat", "msd", "fma", "gtzan", "billboard", "jsonl"]


@pytest.mark.parametrize("dataset", ["folder", "demo"])
def test_plain_folders_have_neither_units_nor_variants(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"unit is 'song', but {dataset} has only clip"):
        DATASETS[dataset](Request(LocalPlace(tmp_path), unit="song"))
    with pytest.raises(ConfigError, match=f"variant is 'pons', but {dataset} has only one version; leave"):
        DATASETS[dataset](Request(LocalPlace(tmp_path), variant="pons"))
