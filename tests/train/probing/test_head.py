"""The head learns what is linearly there, stops by validation, and takes no statistics from other splits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from clmr.errors import ConfigError
from train.probing.head import HeadSettings, Standardiser, fit_head, head_loss, track_probabilities


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
    assert torch.equal(next(head.parameters()), seen[1])


def test_seed_decides_everything() -> None:
    features, labels = torch.randn(64, 5), (torch.rand(64, 2) > 0.5).float()
    settings = HeadSettings(max_epochs=3, batch_size=16)

    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(99 + seed)  # the global generator must not matter
        return next(fit_head(features, labels, lambda _: 0.0, settings, seed)[0].parameters()).detach()

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_one_window_alone_is_only_shifted() -> None:
    assert torch.equal(Standardiser.of(torch.full((1, 3), 7.0))(torch.full((1, 3), 8.0)), torch.ones(1, 3))


def test_a_tracks_softmax_and_the_probability_of_its_mean_logit() -> None:
    logits = torch.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, -1.0], [-1.0, 0.5, 0.0]])
    owner = np.array([0, 0, 1])
    head = nn.Identity()
    classes = track_probabilities(head, logits, owner, task="classes")
    np.testing.assert_allclose(classes[0], logits[:2].softmax(1).mean(0), rtol=1e-6)
    mean_logit = track_probabilities(head, logits, owner, task="classes", of_mean_logit=True)
    np.testing.assert_allclose(mean_logit[0], logits[:2].mean(0).softmax(0), rtol=1e-6)
    tags = track_probabilities(head, logits, owner, of_mean_logit=True)
    np.testing.assert_allclose(tags[0], logits[:2].mean(0).sigmoid(), rtol=1e-6)
    np.testing.assert_allclose(tags[1], logits[2].sigmoid(), rtol=1e-6)


def test_many_windows_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    features, owner = torch.randn(50, 3), np.arange(50) // 7
    at_once = track_probabilities(nn.Identity(), features, owner)
    monkeypatch.setattr("train.probing.head.ROWS", 8)
    assert np.array_equal(track_probabilities(nn.Identity(), features, owner), at_once)


def test_a_hidden_layer_learns_what_no_line_separates() -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(400, 2, generator=generator)
    labels = (features[:, :1] * features[:, 1:] > 0).float()

    def accuracy(head: nn.Module) -> float:
        with torch.inference_mode():
            return float(((head(features) > 0) == (labels > 0)).float().mean())

    # Two hidden units cannot do it, so the features come with eight that say nothing.
    wide = torch.cat((features, torch.zeros(400, 8)), dim=1)

    def wide_accuracy(head: nn.Module) -> float:
        with torch.inference_mode():
            return float(((head(wide) > 0) == (labels > 0)).float().mean())

    settings = HeadSettings(learning_rate=3e-2, batch_size=100, patience=30, max_epochs=100)
    assert fit_head(features, labels, accuracy, settings, 0)[2] < 0.7
    head, _, found = fit_head(wide, labels, wide_accuracy, replace(settings, kind="mlp"), 0)
    assert found > 0.9
    assert [tuple(each.shape) for each in head.parameters()] == [(10, 10), (10,), (1, 10), (1,)]


def test_classes_are_learnt_by_their_softmax() -> None:
    features = torch.eye(3).repeat(20, 1)
    settings = HeadSettings(learning_rate=0.1, patience=40, keep="last")
    head, _, _ = fit_head(features, features, lambda _: 0.0, settings, 0, task="classes")
    with torch.inference_mode():
        logits = head(features)
    assert head_loss(logits, features, "classes") < 0.1
    expected = -(logits.log_softmax(1) * features).sum(1).mean()
    torch.testing.assert_close(head_loss(logits, features, "classes"), expected)


def test_keeps_the_last_epoch_where_asked_and_cuts_the_rate() -> None:
    given = iter([0.5, *[0.1] * 4])
    seen: list[torch.Tensor] = []

    def score(head: nn.Module) -> float:
        seen.append(next(head.parameters()).detach().clone())
        return next(given)

    settings = HeadSettings(learning_rate=0.1, patience=4, batch_size=32, keep="last", decay_patience=1)
    head, epoch, last = fit_head(torch.ones(32, 1), torch.ones(32, 1), score, settings, 0)
    assert (epoch, last) == (5, 0.1)
    assert torch.equal(next(head.parameters()), seen[-1])
    # One step of Adam an epoch, of about the rate, as the gradient keeps its sign: cut after two epochs without gain.
    moves = [float((after - before).abs()) for before, after in pairwise(seen)]
    assert moves[1] > 0.05
    assert moves[2] < 0.02


def test_a_head_that_diverges_at_once_is_refused() -> None:
    with pytest.raises(ConfigError, match="lower --learning-rate"):
        fit_head(torch.ones(8, 1), torch.ones(8, 1), lambda _: float("nan"), HeadSettings(max_epochs=2), 0)


@pytest.mark.parametrize("field", ["learning_rate", "weight_decay", "patience"])
def test_defaults_are_the_papers(field: str) -> None:
    assert getattr(HeadSettings(), field) == {"learning_rate": 3e-4, "weight_decay": 1e-6, "patience": 5}[field]
