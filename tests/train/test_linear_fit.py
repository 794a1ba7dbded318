"""The quick head of the probe during training."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from train.linear_fit import fit_linear


def test_finds_the_minimum_and_draws_nothing() -> None:
    """scikit-learn minimises sum of losses + ||w||^2 / (2 C): our penalty times the number of rows is its 1 / C."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(300, 8, generator=generator)
    logits = features @ torch.randn(8, 3, generator=generator) + torch.tensor([0.0, 1.0, -2.0])
    labels = (logits + torch.randn(300, 3, generator=generator) > 0).float()
    before = torch.get_rng_state()
    head = fit_linear(features, labels, penalty=0.02)
    assert torch.equal(torch.get_rng_state(), before)
    for column in range(3):
        theirs = LogisticRegression(C=1 / (0.02 * 300), tol=1e-8).fit(features.numpy(), labels[:, column].numpy())
        np.testing.assert_allclose(head.weight[column].numpy(), theirs.coef_[0], atol=2e-3)
        np.testing.assert_allclose(head.bias[column].numpy(), theirs.intercept_[0], atol=2e-3)
