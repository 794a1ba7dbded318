"""Ranking metrics against scikit-learn, ties and degenerate columns among them."""

from __future__ import annotations

from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from clmr.errors import ConfigError, FeatureError
from clmr.metrics import RankingScores, accuracy, item_metrics, tag_metrics

Array = npt.NDArray[np.float64]


def ranked_by_sklearn(labels: Array, scores: Array) -> tuple[list[float], list[float]]:
    """ROC-AUC and average precision of each column; NaN for columns of one class."""
    roc, pr = [], []
    for truth, score in zip(labels.T, scores.T, strict=True):
        usable = 0 < truth.sum() < len(truth)
        roc.append(roc_auc_score(truth, score) if usable else float("nan"))
        pr.append(average_precision_score(truth, score) if usable else float("nan"))
    return roc, pr


def assert_equals(found: RankingScores, labels: Array, scores: Array) -> None:
    roc, pr = ranked_by_sklearn(labels, scores)
    np.testing.assert_allclose(found.each_roc_auc, roc, rtol=1e-12)
    np.testing.assert_allclose(found.each_pr_auc, pr, rtol=1e-12)
    usable = [value for value in roc if not np.isnan(value)]
    assert found.counted == len(usable)
    assert found.counted + found.without_positives + found.without_negatives == labels.shape[1]
    assert found.roc_auc == pytest.approx(np.mean(usable) if usable else float("nan"), nan_ok=True)
    assert found.pr_auc == pytest.approx(np.nanmean(pr) if usable else float("nan"), nan_ok=True)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, Array]:
    """Labels and scores of up to 12 items and 6 tags; scores from few values, so that they tie."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 6)))
    labels = draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0])))
    levels = st.sampled_from([-1e300, -1.0, 0.0, 1e-300, 0.5, np.nextafter(0.5, 1), 1e300])
    return labels, draw(hnp.arrays(np.float64, shape, elements=levels))


@given(problems())
def test_equals_sklearn(problem: tuple[Array, Array]) -> None:
    labels, scores = problem
    assert_equals(tag_metrics(labels, scores), labels, scores)
    assert_equals(item_metrics(labels, scores), labels.T, scores.T)


@settings(max_examples=30)
@given(problems(), st.randoms(use_true_random=False))
def test_order_and_scale_do_not_matter(problem: tuple[Array, Array], random: Random) -> None:
    """Any order of the items, and any scale that keeps the order of the scores: ranks are all that counts."""
    labels, scores = problem
    order = random.sample(range(len(labels)), len(labels))
    _, ranks = np.unique(scores, return_inverse=True)
    for found in (tag_metrics(labels[order], scores[order]), tag_metrics(labels, ranks.reshape(scores.shape))):
        np.testing.assert_allclose(found.each_roc_auc, tag_metrics(labels, scores).each_roc_auc, rtol=1e-12)
        np.testing.assert_allclose(found.each_pr_auc, tag_metrics(labels, scores).each_pr_auc, rtol=1e-12)


@settings(max_examples=30)
@given(problems(), st.integers(0, 5))
def test_untagged_items_are_counted_and_change_nothing(problem: tuple[Array, Array], untagged: int) -> None:
    labels, scores = problem
    found, plain = (
        item_metrics(*(np.concatenate((part, np.zeros((more, part.shape[1])))) for part in problem))
        for more in (untagged, 0)
    )
    assert (found.counted, found.without_negatives) == (plain.counted, plain.without_negatives)
    assert found.without_positives == plain.without_positives + untagged
    assert found.roc_auc == pytest.approx(plain.roc_auc, nan_ok=True)
    assert np.isnan(found.each_roc_auc[len(labels) :]).all()
    assert len(found.each_pr_auc) == len(scores) + untagged


@settings(max_examples=30)
@given(problems(), st.data())
def test_refuses_nan_wherever_it_is(problem: tuple[Array, Array], data: st.DataObject) -> None:
    labels, scores = problem
    item, tag = (data.draw(st.integers(0, size - 1)) for size in scores.shape)
    scores[item, tag] = np.nan
    for metric in (tag_metrics, item_metrics, accuracy):
        with pytest.raises(
            FeatureError, match=f"1 of {scores.size} scores are NaN, the first for item {item}, tag {tag}"
        ):
            metric(labels, scores)


@settings(max_examples=30)
@given(problems(), st.data())
def test_accuracy_equals_sklearn(problem: tuple[Array, Array], data: st.DataObject) -> None:
    _, scores = problem
    items, classes = scores.shape
    truth = data.draw(hnp.arrays(np.int64, items, elements=st.integers(0, classes - 1)))
    assert accuracy(np.eye(classes)[truth], scores) == pytest.approx(accuracy_score(truth, scores.argmax(axis=1)))


@pytest.mark.parametrize("labels", [[[1, 0], [0, 0]], [[1, 0], [1, 1]], np.zeros((0, 2))])
def test_accuracy_is_of_one_class_each(labels: Array) -> None:
    with pytest.raises(ConfigError, match="exactly one class"):
        accuracy(labels, np.zeros(np.shape(labels)))


def test_macro_and_samples_averages_of_sklearn() -> None:
    random = np.random.default_rng(0)
    labels = random.random((700, 50)) < random.uniform(0.01, 0.3, 50)
    scores = np.round(random.random((700, 50)) + 0.3 * labels, 2).astype(np.float32)
    tags, items = tag_metrics(labels, scores), item_metrics(labels, scores)
    assert tags.roc_auc == pytest.approx(roc_auc_score(labels, scores, average="macro"), rel=1e-12)
    assert tags.pr_auc == pytest.approx(average_precision_score(labels, scores, average="macro"), rel=1e-12)
    tagged = labels.any(axis=1)
    assert items.without_positives == (~tagged).sum()
    assert items.roc_auc == pytest.approx(roc_auc_score(labels[tagged], scores[tagged], average="samples"), rel=1e-12)


def test_skipped_tags_are_counted_and_named() -> None:
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]])
    found = tag_metrics(labels, np.random.default_rng(0).random((3, 3)))
    assert (found.counted, found.without_positives, found.without_negatives) == (1, 1, 1)
    assert np.isnan(found.each_roc_auc).tolist() == [False, True, True]
    assert found.roc_auc == found.each_roc_auc[0]


def test_known_rankings() -> None:
    labels = np.array([[1], [1], [0], [0]])
    perfect = np.array([[4], [3], [2], [1]])
    reverse, flat = perfect[::-1], 0 * perfect
    assert tag_metrics(labels, perfect).roc_auc == tag_metrics(labels, perfect).pr_auc == 1
    assert tag_metrics(labels, reverse).roc_auc == 0
    assert tag_metrics(labels, flat).roc_auc == tag_metrics(labels, flat).pr_auc == 0.5
    assert tag_metrics(labels, np.array([[np.inf], [-np.inf], [0], [1]])).roc_auc == 0.5


def test_nothing_to_rank() -> None:
    found = tag_metrics(np.zeros((4, 2)), np.zeros((4, 2)))
    assert np.isnan(found.roc_auc)
    assert (found.counted, found.without_positives) == (0, 2)


def test_refuses_nan() -> None:
    scores = np.zeros((3, 2))
    scores[2, 1] = np.nan
    with pytest.raises(FeatureError, match="1 of 6 scores are NaN, the first for item 2, tag 1"):
        tag_metrics(np.ones((3, 2)), scores)


@pytest.mark.parametrize("labels", [np.full((2, 2), 2), np.full((2, 2), 0.5), np.full((2, 2), np.nan)])
def test_refuses_labels(labels: Array) -> None:
    with pytest.raises(ConfigError, match="0 or 1"):
        item_metrics(labels, np.zeros((2, 2)))


def test_refuses_shapes() -> None:
    with pytest.raises(ConfigError, match=r"\(3, 2\) and \(2, 3\)"):
        tag_metrics(np.zeros((3, 2)), np.zeros((2, 3)))
    with pytest.raises(ConfigError, match=r"\(3,\)"):
        tag_metrics(np.zeros(3), np.zeros(3))
