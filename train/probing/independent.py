"""The fast head's convex problem given to scikit-learn, as a check by other people's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from train.probing.fitting import FittedHead, validation_score
from train.probing.head import track_probabilities
from train.probing.settings import ProbeSettings
from train.probing.splits import Split


def fit_independently(train: Split, penalty: float, task: str) -> nn.Linear:
    """The head scikit-learn's LogisticRegression finds in float64, label by label or, for classes, of all at once.

    A label that no window has, or every window, is none for scikit-learn: its weights are 0, and its bias is that of
    :func:`train.probing.linear_fit.fit_path`.
    """
    features, labels = train.features.double().numpy(), train.labels[train.owner]
    rows = len(features)
    # Its objective is C x the sum over rows + ||w||^2 / 2.
    settings: dict[str, Any] = {"C": 1 / (penalty * rows), "tol": 1e-6, "max_iter": 10_000}
    share = (labels.sum(axis=0) + 0.5) / (rows + 1)
    weight = np.zeros((labels.shape[1], features.shape[1]))
    learnt = labels.any(axis=0) & ~labels.all(axis=0)
    if task == "classes":
        bias = np.where(labels.any(axis=0), np.log(share), -np.inf)
        present = np.flatnonzero(learnt)
        if len(present) == 2:
            # It fits w of the second class against the first. Split evenly, w / 2 and -w / 2 have half its square.
            settings["C"] *= 2
            fit = LogisticRegression(**settings).fit(features, labels[:, present[1]])
            weight[present], bias[present] = np.outer((-0.5, 0.5), fit.coef_), (-0.5, 0.5) * fit.intercept_
        elif len(present) > 2:
            fit = LogisticRegression(**settings).fit(features, labels.argmax(axis=1))
            weight[present], bias[present] = fit.coef_, fit.intercept_
    else:
        bias = np.log(share / (1 - share))
        for column in np.flatnonzero(learnt):
            fit = LogisticRegression(**settings).fit(features, labels[:, column])
            weight[column], bias[column] = fit.coef_[0], fit.intercept_[0]
    head: nn.Linear = nn.utils.skip_init(nn.Linear, features.shape[1], labels.shape[1])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    return head


def compare(fitted: FittedHead, train: Split, valid: Split, settings: ProbeSettings, task: str) -> dict[str, float]:
    """How far both are apart on the validation tracks; the test split stays out of it."""
    theirs = fit_independently(train, fitted.chosen["penalty"], task)
    mean_logit = settings.aggregation == "logit"
    ours_each, theirs_each = (
        track_probabilities(head, valid.features, valid.owner, task=task, of_mean_logit=mean_logit)
        for head in (fitted.head, theirs)
    )
    return {
        "validation_score": fitted.validation_score,
        "scikit_learn": validation_score(theirs, valid, settings, task),
        "largest_probability_difference": float(np.abs(ours_each - theirs_each).max()),
    }
