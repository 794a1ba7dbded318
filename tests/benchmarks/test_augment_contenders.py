"""Every contender of the effects' benchmark makes views of the crops, and what is no view is refused."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.contenders import augment_ours, augment_sox, augment_torchaudio
from benchmarks.contenders.augment_crops import (
    CROP_FRAMES,
    PAPER,
    SAMPLE_RATE,
    check_views,
    least_changed,
    load_crops,
    only,
    snr_db,
    write_responses,
)
from benchmarks.contenders.augment_registry import (
    NOTHING,
    OURS,
    OURS_AS_SOX,
    SOX,
    Interpreters,
    chains,
    libraries,
    single,
)
from benchmarks.contenders.augment_running import in_batches, one_by_one
from clmr.augment import Chain
from tests.benchmarks.signatures import misfit
from tests.clmr.augment.signals import noise, tone

EVERYBODY = libraries(Interpreters("official/python", "peers/python"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three crops and two impulse responses."""
    folder = tmp_path_factory.mktemp("crops")
    rows = 0.3 * noise(3, CROP_FRAMES)[:, 0] + 0.5 * tone(440, SAMPLE_RATE, CROP_FRAMES)[0].float()
    np.save(folder / "crops.npy", (rows * 2**15).short().numpy())
    write_responses(folder / "responses", 2)
    return folder


def test_everybody_is_set_up(folder: Path) -> None:
    contenders = chains(EVERYBODY, 2, folder)
    for effect in (*PAPER, NOTHING):
        contenders += single(EVERYBODY, effect, folder)
    assert [misfit(contender) for contender in contenders] == [None] * len(contenders)
    assert len({contender.name for contender in chains(EVERYBODY, 2, folder)}) == 9


def test_the_chains_have_the_same_probabilities_and_cores(folder: Path) -> None:
    by_name = {contender.name: contender for contender in chains(EVERYBODY, 2, folder)}
    assert by_name[OURS].settings["effects"] == PAPER
    assert by_name[SOX].settings["effects"] == by_name[OURS_AS_SOX].settings["effects"] == {"pitch": 0.4, "reverb": 0.4}
    for contender in by_name.values():
        assert contender.settings["effects"].items() <= PAPER.items()
        assert [
            contender.settings[name] for name in ("threads", "workers", "processes") if name in contender.settings
        ] == [2]
    assert by_name["official chain"].python == "official/python"
    assert by_name["audiomentations"].python == "peers/python"
    assert by_name[OURS].python == sys.executable


def test_probabilities_are_those_of_the_preset() -> None:
    chain = Chain.preset("paper", SAMPLE_RATE)
    assert {each.name: each.probability for each in chain.operations} == {
        name: probability for name, probability in PAPER.items() if name in {each.name for each in chain.operations}
    }


def test_views_are_checked() -> None:
    crops = noise(20, 100).numpy()
    effects = {"polarity": 0.9}
    views = -crops
    views[0] = crops[0]
    check_views(crops, views, effects)
    check_views(crops[:, 0], views[:, 0], effects)
    broken = views.copy()
    broken[3, 0, 5] = np.nan
    for wrong, words in (
        (crops, "0% of the views are changed, 90% should be"),
        (broken, "not finite"),
        (0 * views, "silent"),
        (views[:, :, :-1], "float32"),
        (views.astype(np.float64), "float64"),
    ):
        with pytest.raises(ValueError, match=words):
            check_views(crops, wrong, effects)
    with pytest.raises(ValueError, match="100% of the views are changed, 20%"):
        check_views(crops, -crops, {"polarity": 0.2})


def test_shares_that_are_changed() -> None:
    assert least_changed({"pitch": 0.4, "reverb": 0.4}) == pytest.approx(0.64)
    assert least_changed({"gain": 1.0}) == 1


def test_only_what_a_library_has() -> None:
    assert only(PAPER, ("gain", "echo")) == {"gain": 0.3}
    with pytest.raises(ValueError, match="none of delay"):
        only({"delay": 1.0}, ("gain",))


def test_decibels() -> None:
    x = np.ones(100, dtype=np.float32)
    assert snr_db(x + np.float32(0.01), x) == pytest.approx(40, abs=1e-3)


def test_impulse_responses(folder: Path) -> None:
    responses = [soundfile.read(path) for path in sorted((folder / "responses").glob("*.wav"))]
    assert [len(pcm) for pcm, _ in responses] == [6615, 55125]
    for pcm, rate in responses:
        assert rate == SAMPLE_RATE
        assert pcm[0] == pytest.approx(1, abs=1e-4)
        level = [np.square(part).mean() for part in np.array_split(pcm[1:], 10)]
        assert 10 * np.log10(level[0] / level[-3]) == pytest.approx(60 * 7 / 10, abs=6)


def test_ours(folder: Path) -> None:
    effects = {"polarity": 0.8, "gain": 0.3, "delay": 0.4}
    assert list(islice(augment_ours.views(str(folder / "crops.npy"), effects, 1, batch=24), 2)) == [24, 24]
    with pytest.raises(LookupError, match="no echo"):
        augment_ours.chain_of({"polarity": 1.0, "echo": 1.0})


def test_torchaudio(folder: Path) -> None:
    given = str(folder / "crops.npy"), dict.fromkeys(augment_torchaudio.EFFECTS, 1.0), str(folder / "responses")
    assert next(augment_torchaudio.views(*given)) == augment_torchaudio.VIEWS


def test_torchaudio_filters_as_the_paper_does(folder: Path) -> None:
    """A cutoff's first-order low-pass passes the lows, its high-pass what is left of them."""
    torch.manual_seed(0)
    low = tone(20, SAMPLE_RATE, 20_000).float().expand(16, 1, -1)
    levels = augment_torchaudio.one_filter(low)[:, 0, 10_000:].std(dim=1) / low[0, 0, 10_000:].std()
    assert ((levels > 0.99) | (levels < 0.11)).all()
    assert (levels > 0.99).any()
    assert (levels < 0.11).any()


def test_torchaudio_shifts_the_pitch(folder: Path) -> None:
    torch.manual_seed(1)
    shifted = augment_torchaudio.pitch(tone(1000, SAMPLE_RATE, 22050).float())[0, 0, 5000:15000]
    hz = torch.fft.rfft(shifted * torch.hann_window(10000)).abs().argmax().item() * SAMPLE_RATE / 10000
    ratio = hz / 1000 * augment_torchaudio.STEP
    assert ratio == pytest.approx(round(ratio), abs=0.06)
    assert round(ratio) in augment_torchaudio.RATIOS


@pytest.mark.needs("sox")
def test_sox(folder: Path) -> None:
    crops, effects = str(folder / "crops.npy"), {"pitch": 0.4, "reverb": 0.4, "delay": 0.4}
    assert next(augment_sox.views(crops, effects, 2)) == augment_sox.VIEWS
    assert next(augment_sox.views(crops, {NOTHING: 1.0}, 1)) == augment_sox.VIEWS


@pytest.mark.needs("sox")
def test_sox_adds_its_reverb(folder: Path, tmp_path: Path) -> None:
    crops = load_crops(str(folder / "crops.npy"))
    sox = augment_sox.Sox(tmp_path, crops, {"reverb": 1.0}, idle=False)
    made = sox.view(4)
    arguments = augment_sox.drawn({"reverb": 1.0}, np.random.default_rng(0))
    assert snr_db(made, augment_sox.run_sox(crops[1], arguments)) > 100
    assert 0 < snr_db(made, crops[1]) < 40


@pytest.mark.needs("sox")
def test_sox_says_when_it_failed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sox = augment_sox.Sox(tmp_path, load_crops(str(folder / "crops.npy")), {"reverb": 1.0}, idle=False)
    monkeypatch.setattr(augment_sox, "drawn", lambda *_: ["reverb", "101"])
    with pytest.raises(OSError, match="reverb 101"):
        sox.view(0)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_come_from_here_or_from_workers(folder: Path, workers: int) -> None:
    made = in_batches(
        load_crops(str(folder / "crops.npy")), one_by_one(torch.neg), {"polarity": 1.0}, batch=4, workers=workers
    )
    assert list(islice(made, 3)) == [4, 4, 4]
