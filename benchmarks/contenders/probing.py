"""Linear heads for many tags at once: ours, and scikit-learn's one-vs-rest, on the same made-up features."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from clmr.metrics import tag_metrics
from train.probing.fitting import fit_at_once
from train.probing.head import Standardiser
from train.probing.settings import PRESETS
from train.probing.splits import Split

Work = Callable[[], float]


def splits(rows: int, valid: int, width: int, tags: int, *, correlated: bool) -> tuple[Split, Split]:
    """Standardised features and tags that are linear in them up to noise; rare and frequent ones, 1 to 25 %.

    ``correlated`` features are rectified mixtures of hidden factors whose deviation falls with the root of their
    number, closer to what an encoder with a final ReLU gives than the independent normal ones else.
    """
    rng = np.random.default_rng(0)
    features = rng.standard_normal((rows + valid, width))
    if correlated:
        mixing = np.linalg.qr(rng.standard_normal((width, width)))[0]
        features = np.maximum((features * np.arange(1, width + 1) ** -0.5) @ mixing + 0.02, 0)
    scaled = torch.from_numpy(features.astype(np.float32))
    scaled = Standardiser.of(scaled[:rows])(scaled)
    logits = scaled.numpy() @ rng.standard_normal((width, tags))
    logits = 1.5 * logits / logits.std(axis=0) + np.log(rng.uniform(0.01, 0.25, tags))
    labels = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))

    def split(chosen: slice) -> Split:
        part = scaled[chosen].contiguous()
        return Split(part, labels[chosen], np.arange(len(part)), np.arange(len(part)).astype(str), {})

    return split(slice(rows)), split(slice(rows, None))


def per_minute(fit: Callable[[], tuple[float, dict[str, Any]]], note: Path) -> Work:
    """Fits per minute; each writes its validation score, and what else it says, to ``note``."""

    def work() -> float:
        begin = time.perf_counter()
        score, said = fit()
        seconds = time.perf_counter() - begin
        note.write_text(json.dumps({"score": score, **said}), encoding="utf-8")
        return 60 / seconds

    return work


def fast(problem: dict[str, Any], note: str, threads: int) -> Work:
    """The L2 strength is chosen by the validation score.

    Nine are tried, from strong to weak, until two weaker ones are no better; all fits and validation scores count.
    """
    torch.set_num_threads(threads)
    train, valid = splits(**problem)

    def fit() -> tuple[float, dict[str, Any]]:
        fitted = fit_at_once(train, valid, PRESETS["fast"], "tags")
        tried = fitted.chosen["penalties_tried"]
        return fitted.validation_score, {"penalty": fitted.chosen["penalty"], "penalties_tried": len(tried)}

    return per_minute(fit, Path(note))


def one_vs_rest(problem: dict[str, Any], note: str, jobs: int | None) -> Work:
    """OneVsRestClassifier of LogisticRegression as it comes, in float32.

    One fit for each tag at its default strength, C = 1, with 1000 iterations allowed; one validation score.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    train, valid = splits(**problem)
    features, unseen = train.features.numpy(), valid.features.numpy()
    labels: npt.NDArray[np.int64] = train.labels.astype(np.int64)

    def fit() -> tuple[float, dict[str, Any]]:
        model = OneVsRestClassifier(LogisticRegression(max_iter=1000), n_jobs=jobs).fit(features, labels)
        found = tag_metrics(valid.labels, model.decision_function(unseen))
        return (found.roc_auc + found.pr_auc) / 2, {
            "iterations": float(np.mean([int(each.n_iter_[0]) for each in model.estimators_]))
        }

    return per_minute(fit, Path(note))
