"""The benchmark's peers deliver batches, and its results say where they come from."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.peers import SoundfileCrops, soundfile_pairs, webdataset_pairs
from benchmarks.report import Spread, markdown_table, ratio, this_machine, write_results
from tests.loaders.small_shards import CROP, WriteShards, recordings


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves the tars open
def test_webdataset_streams_the_shards(make_shards: WriteShards) -> None:
    shards = make_shards(recordings(40))
    tars = sorted((shards / "train").glob("*.tar"))
    assert list(islice(webdataset_pairs(tars, crop_frames=CROP, pairs=8, workers=0), 12)) == [8] * 12


def test_soundfile_reads_crops_of_the_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.wav" for number in range(10)]
    for number, file in enumerate(files):
        ramp = np.arange(number * 1000, number * 1000 + 700, dtype=np.int16)
        soundfile.write(file, ramp, 8000, subtype="PCM_16")
    for crop in SoundfileCrops(files, CROP)[4]:
        first = int(crop[0])
        assert 4000 <= first <= 4200
        assert crop.tolist() == list(range(first, first + CROP))
    assert list(islice(soundfile_pairs(files, crop_frames=CROP, pairs=4, workers=0), 5)) == [4] * 5


def test_ratios_are_taken_round_by_round() -> None:
    ours, theirs = Spread.of([10.0, 20.0, 60.0]), Spread.of([5.0, 20.0, 20.0])
    assert ratio(ours, theirs) == Spread(2.0, 1.0, 3.0, (2.0, 1.0, 3.0))


def test_results_name_machine_versions_date_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/benchmarks/loader.py", "--threads", "2"])
    table = markdown_table(["", "pairs/s"], [["PairLoader", "1"]])
    page = write_results("loader", "Loader", table, {"rates": {"PairLoader": 1.0}}, ["numpy"], tmp_path)
    assert page.name == f"loader-{this_machine().slug}.md"
    values = json.loads(page.with_suffix(".json").read_text())
    assert values["rates"] == {"PairLoader": 1.0}
    assert values["versions"] == {"numpy": np.__version__}
    assert values["machine"]["cores"] >= 1
    text = page.read_text()
    for expected in (values["machine"]["cpu"], values["date"], f"numpy {np.__version__}", "| PairLoader | 1 |"):
        assert expected in text
    assert values["command"] == "python -m benchmarks.loader --threads 2"
    assert "/somewhere" not in text
