"""The head learns what is linearly there, stops by validation, and takes no statistics from other splits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from train.head import HeadSettings, Standardiser, fit_head, track_probabilities


def test_standardiser_uses_its_own_windows_only() -> None:
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(500, 4, generator=generator) * torch.tensor([1.0, 10.0, 0.1, 0.0]) + 3
    standardise = Standardiser.of(train)
    scaled = standardise(train)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(standardise(train[:1] + 1), (train[:1] + 1 - train.mean(0)) / standardise.scale)


def test_track_probability_is_the_mean_of_its_windows_sigmoids() -> None:
    head = nn.Linear(1, 1)
    with torch.no_grad():
        head.weight.fill_(1.0)
        head.bias.zero_()
    logits = torch.tensor([[0.0], [2.0], [-1.0]])
    found = track_probabilities(head, logits, np.array([1, 0, 1]))
    expected = [1 / (1 + np.exp(-2)), (0.5 + 1 / (1 + np.exp(1))) / 2]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def test_finds_what_logistic_regression_finds() -> None:
    """Same convex problem, independent solver: the same ranking of unseen windows."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((6, 2))
    x, unseen = rng.standard_normal((2000, 6)).astype(np.float32), rng.standard_normal((300, 6)).astype(np.float32)
    y = (x @ weights + rng.logistic(size=(2000, 2)) > 0).astype(np.float32)
    features, labels = torch.from_numpy(x), torch.from_numpy(y)

    def score(head: nn.Module) -> float:
        with torch.inference_mode():
            return -float(nn.functional.binary_cross_entropy_with_logits(head(features), labels))

    head, _, _ = fit_head(features, labels, score, HeadSettings(learning_rate=1e-2, patience=20), seed=0)
    with torch.inference_mode():
        ours = head(torch.from_numpy(unseen)).numpy()
    for column in range(2):
        theirs = LogisticRegression(C=1e6).fit(x, y[:, column]).decision_function(unseen)
        assert np.corrcoef(ours[:, column], theirs)[0, 1] > 0.999


def test_keeps_the_best_epoch_and_stops_after_patience() -> None:
    given = iter([0.1, 0.5, 0.4, 0.45, 0.3, 0.9])
    seen: list[torch.Tensor] = []

    def score(head: nn.Module) -> float:
        seen.append(next(head.parameters()).detach().clone())
        return next(given)

    head, epoch, best = fit_head(
        torch.randn(32, 3), torch.ones(32, 1), score, HeadSettings(learning_rate=0.1, patience=3, batch_size=8), seed=1
    )
    assert (epoch, best, len(seen)) == (2, 0.5, 5)
    torch.testing.assert_close(head.weight.detach(), seen[1], rtol=0, atol=0)


def test_seed_decides_everything() -> None:
    features, labels = torch.randn(64, 5), (torch.rand(64, 2) > 0.5).float()
    settings = HeadSettings(max_epochs=3, batch_size=16)

    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(99 + seed)  # the global generator must not matter
        return fit_head(features, labels, lambda _: 0.0, settings, seed)[0].weight.detach()

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("field", ["learning_rate", "weight_decay", "patience"])
def test_defaults_are_the_papers(field: str) -> None:
    assert getattr(HeadSettings(), field) == {"learning_rate": 3e-4, "weight_decay": 1e-6, "patience": 5}[field]
