"""Nothing but the music tells a tag: not length, rate, channels or file type, nor the loudness of songs or crops."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sharding.datasets.demo import CODECS
from sharding.synth.render import render
from sharding.synth.score import TAGS, Score, draw_score

FALSE_ALARM = 0.001  # of one test, over all tags and probes together


@pytest.fixture(scope="module")
def songs() -> list[Score]:
    return [draw_score(0, number) for number in range(320)]


@pytest.fixture(scope="module")
def tagged(songs: list[Score]) -> npt.NDArray[np.bool_]:
    return np.array([[tag in score.tags for tag in TAGS] for score in songs])


def outside(songs: list[Score]) -> npt.NDArray[np.float64]:
    """What can be told of a file without listening: length, rate, channels, type."""
    return np.array(
        [
            [r.seconds, r.rate, r.channels, *(r.extension == extension for extension in CODECS)]
            for r in (score.recording for score in songs)
        ],
        dtype=np.float64,
    )


def loudness(score: Score) -> list[float]:
    """RMS in dB: of the whole song, and mean, least and greatest of its crops of 2.7 s."""
    rate = 8000
    power = (render(score, rate, 1)[:, 0] / 32768) ** 2
    crop = round(2.7 * rate)
    crops = 10 * np.log10(power[: len(power) // crop * crop].reshape(-1, crop).mean(axis=1))
    return [float(10 * np.log10(power.mean())), float(crops.mean()), float(crops.min()), float(crops.max())]


def suspicious(features: npt.NDArray[np.float64], tagged: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Tags that a linear or a tree probe reads off the features, cross-validated, better than chance allows.

    Without any relation the AUC of n1 positive and n0 negative songs has mean 1/2 and variance
    (n1 + n0 + 1) / (12 n1 n0) (Mann and Whitney, 1947). The bound is the quantile at which all tests together raise a
    false alarm with probability FALSE_ALARM.
    """
    probes = (
        make_pipeline(StandardScaler(), LogisticRegression()),
        DecisionTreeClassifier(max_depth=3, min_samples_leaf=10, random_state=0),
    )
    deviations = NormalDist().inv_cdf(1 - FALSE_ALARM / (len(probes) * tagged.shape[1]))
    found: dict[str, float] = {}
    for tag, truth in zip(TAGS, tagged.T, strict=True):
        positives = int(truth.sum())
        negatives = len(truth) - positives
        bound = 0.5 + deviations * np.sqrt((len(truth) + 1) / (12 * positives * negatives))
        for probe in probes:
            scores = cross_val_predict(probe, features, truth, cv=5, method="predict_proba")[:, 1]
            auc = roc_auc_score(truth, scores)
            if auc > bound:
                found[tag] = max(auc, found.get(tag, 0.0))
    return found


def test_no_tag_shows_from_outside(songs: list[Score], tagged: npt.NDArray[np.bool_]) -> None:
    assert suspicious(outside(songs), tagged) == {}


def test_no_tag_shows_in_the_loudness(songs: list[Score], tagged: npt.NDArray[np.bool_]) -> None:
    """Measured on the first 160 songs as played, of whole songs and of crops."""
    measured = np.array([loudness(score) for score in songs[:160]])
    assert suspicious(np.hstack([measured, outside(songs[:160])]), tagged[:160]) == {}


def test_a_planted_shortcut_is_found(songs: list[Score], tagged: npt.NDArray[np.bool_]) -> None:
    """The test above can fail: songs with drums 2 dB louder, or slow songs 4 s longer, and it does."""
    features = np.hstack([outside(songs), [[score.recording.level_db] for score in songs]])
    features[:, -1] += 2.0 * tagged[:, TAGS.index("drums")]
    features[:, 0] += 4.0 * tagged[:, TAGS.index("slow")]
    assert {"drums", "slow"} <= set(suspicious(features, tagged))
