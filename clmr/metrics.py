"""How well scores rank what is relevant: ROC-AUC and PR-AUC by tag and by item (paper section 2.6); accuracy.

Tag-wise: each tag ranks all items; the mean over tags is what the paper calls the tag metric. Item-wise: each item
ranks all tags; the mean over items is its clip metric. PR-AUC is average precision: the step function, no trapezoids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clmr.errors import ConfigError, FeatureError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RankingScores:
    """ROC-AUC and PR-AUC of several rankings, and their means."""

    roc_auc: float
    """Mean over the rankings that count; NaN if none does."""

    pr_auc: float
    """Mean average precision over the rankings that count; NaN if none does."""

    counted: int
    """Rankings with at least one positive and one negative."""

    without_positives: int
    """Rankings skipped because nothing in them is positive."""

    without_negatives: int
    """Rankings skipped because everything in them is positive."""

    each_roc_auc: Floats
    """Of every ranking, NaN where skipped."""

    each_pr_auc: Floats
    """Of every ranking, NaN where skipped."""


def tag_metrics(labels: npt.ArrayLike, scores: npt.ArrayLike) -> RankingScores:
    """Rank the items under every tag.

    Args:
        labels: 0 or 1, shape ``[items, tags]``.
        scores: any finite or infinite numbers, higher is more likely, shape ``[items, tags]``.

    Returns:
        Means over tags and the scores of each tag, in order. Equals scikit-learn's ``roc_auc_score`` and
        ``average_precision_score`` with ``average="macro"`` on the tags that have positives and negatives.

    Raises:
        ConfigError: shapes differ or are not two-dimensional, or labels are not 0 and 1.
        FeatureError: a score is NaN.
    """
    relevant, values = _checked(labels, scores)
    return _rank(relevant, values)


def item_metrics(labels: npt.ArrayLike, scores: npt.ArrayLike) -> RankingScores:
    """Rank the tags of every item; arguments and errors as in :func:`tag_metrics`.

    Returns:
        Means over items and the scores of each item. An item without tags, or with all of them, is skipped in both
        scores, as in the authors' evaluation. On the others it equals scikit-learn's ``average="samples"``.
    """
    relevant, values = _checked(labels, scores)
    return _rank(np.ascontiguousarray(relevant.T), np.ascontiguousarray(values.T))


def accuracy(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Share of items whose highest score is that of their one class; of equal scores the first counts.

    Args:
        labels: 0 or 1, exactly one 1 per item, shape ``[items, classes]``, at least one item.
        scores: as in :func:`tag_metrics`.

    Raises:
        ConfigError: as :func:`tag_metrics`, or an item does not have exactly one class.
        FeatureError: a score is NaN.
    """
    relevant, values = _checked(labels, scores)
    others = int((relevant.sum(axis=1) != 1).sum())
    if others or not len(relevant):
        raise ConfigError(
            f"accuracy is of items with exactly one class; {others} of {len(relevant)} have none or several"
        )
    return float((values.argmax(axis=1) == relevant.argmax(axis=1)).mean())


def _checked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], Floats]:
    relevant, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if relevant.ndim != 2 or relevant.shape != values.shape:
        raise ConfigError(
            f"labels and scores must be two [items, tags] arrays, got {relevant.shape} and {values.shape}"
        )
    if not np.isin(relevant, (0, 1)).all():
        raise ConfigError("labels must be 0 or 1")
    missing = np.isnan(values)
    if missing.any():
        item, tag = np.argwhere(missing)[0]
        raise FeatureError(
            f"{missing.sum()} of {values.size} scores are NaN, the first for item {item}, tag {tag}: "
            "NaN cannot be ranked; look for a diverged head or non-finite features"
        )
    return relevant.astype(bool), values


def _rank(relevant: npt.NDArray[np.bool_], values: Floats) -> RankingScores:
    """Score every column of ``[M, R]`` arrays as a ranking of M entries."""
    entries = len(values)
    # Best first. A run of equal scores is one step of the curves, so each entry counts as if it stood at the run's end
    # (what precision sees) or in its middle (what the area under the ROC sees).
    order = np.argsort(-values, axis=0, kind="stable")
    relevant = np.take_along_axis(relevant, order, axis=0)
    values = np.take_along_axis(values, order, axis=0)
    place = np.arange(1, entries + 1)[:, None]
    starts = np.ones(values.shape, dtype=bool)
    starts[1:] = values[1:] != values[:-1]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=0)
    ends = np.roll(starts, -1, axis=0)  # an entry ends its run where the next one starts another
    last = np.minimum.accumulate(np.where(ends, place, entries)[::-1], axis=0)[::-1]

    positives = relevant.sum(axis=0)
    negatives = entries - positives
    with np.errstate(invalid="ignore", divide="ignore"):
        # Mann-Whitney: with mean ranks r from the bottom, AUC = (sum over positives of r - P (P + 1) / 2) / (P N).
        rank = entries + 1 - (first + last) / 2
        roc_auc = ((rank * relevant).sum(axis=0) - positives * (positives + 1) / 2) / (positives * negatives)
        # Average precision = 1 / P * sum over positives of the precision at the end of their run.
        hits = np.take_along_axis(np.cumsum(relevant, axis=0), last - 1, axis=0)
        pr_auc = (hits / last * relevant).sum(axis=0) / positives
    counted = (positives > 0) & (negatives > 0)
    return RankingScores(
        roc_auc=float(roc_auc[counted].mean()) if counted.any() else float("nan"),
        pr_auc=float(pr_auc[counted].mean()) if counted.any() else float("nan"),
        counted=int(counted.sum()),
        without_positives=int((positives == 0).sum()),
        without_negatives=int(((negatives == 0) & (positives > 0)).sum()),
        each_roc_auc=np.where(counted, roc_auc, np.nan),
        each_pr_auc=np.where(counted, pr_auc, np.nan),
    )
