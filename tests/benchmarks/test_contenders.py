"""Every contender delivers pairs of crops of the clips, from the same corpus."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from benchmarks.contenders import dali_stock, ours, torch_dataloader, webdataset_library
from benchmarks.contenders.registry import Corpus
from benchmarks.contenders.serve import Endless, checked, rate
from benchmarks.corpus import CROP_FRAMES
from benchmarks.loader import make_corpus

CLIPS, PAIRS = 12, 4
COMMON: dict[str, Any] = {"pairs": PAIRS, "crop_frames": CROP_FRAMES}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"), CLIPS)


def delivers(batches: Endless) -> None:
    """Pairs of the clips, in batches of the right size, without end."""
    same, compared = checked(batches)
    assert compared
    assert [len(batch) for batch in islice(same, 2 * CLIPS // PAIRS) if not isinstance(batch, int)] == [PAIRS] * 6


def test_pairloader(corpus: Corpus) -> None:
    delivers(ours.pairloader(str(corpus.folder / "shards"), PAIRS, threads=1, backend="torch"))
    assert list(islice(ours.batch_sizes(str(corpus.folder / "shards"), PAIRS), 5)) == [PAIRS] * 5
    assert rate(ours.memory_copy(str(corpus.folder / "shards"), **COMMON, threads=1), 0.01) > 0


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves the tars open
def test_webdataset(corpus: Corpus) -> None:
    delivers(webdataset_library.streamed([str(tar) for tar in corpus.shards], workers=0, **COMMON))


def test_dataloader_and_soundfile(corpus: Corpus) -> None:
    files = [str(path) for path in corpus.files]
    delivers(torch_dataloader.soundfile_crops(files, workers=0, **COMMON))
    delivers(torch_dataloader.official(files, workers=0, **COMMON))


def test_dali(corpus: Corpus) -> None:
    indexes = [str(tar.with_suffix(".idx")) for tar in corpus.shards]
    tars = [str(tar) for tar in corpus.shards]
    delivers(dali_stock.whole_members(tars, indexes, threads=1, shuffle_buffer=CLIPS, **COMMON))
