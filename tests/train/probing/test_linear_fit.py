"""The convex head: the minimum, for one penalty and along a path of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from train.probing.linear_fit import fit_linear, fit_path


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


def correlated(rows: int, width: int) -> torch.Tensor:
    """Standardised features of which most say nearly the same, as an encoder's do; one never varies."""
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(rows, width, generator=generator) * torch.arange(1, width + 1) ** -1.5
    mixed = hidden @ torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    mixed[:, 3] = 0
    scaled: torch.Tensor = mixed / mixed.std(dim=0).clamp(min=1e-9)
    return scaled


@pytest.mark.parametrize("task", ["tags", "classes"])
def test_every_minimum_along_the_path(task: str) -> None:
    """In float64 the gradient vanishes, whatever the penalty and wherever the search came from."""
    features = correlated(400, 30).double()
    generator = torch.Generator().manual_seed(2)
    choice = (features[:, :4] + torch.randn(400, 4, generator=generator)).argmax(dim=1)
    labels = torch.nn.functional.one_hot(choice, 5).double()  # the fifth is never there
    penalties = (1.0, 1e-2, 1e-4)
    for penalty, head in zip(penalties, fit_path(features, labels, penalties, tolerance=1e-7, task=task), strict=True):
        weight, bias = head.weight.clone().requires_grad_(), head.bias.clone().requires_grad_()
        logits = features @ weight.T + bias
        if task == "tags":
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / 400
        else:
            loss = torch.nn.functional.cross_entropy(logits[:, :4], labels[:, :4])
        (loss + penalty / 2 * weight.square().sum()).backward()
        assert weight.grad is not None
        assert bias.grad is not None
        assert weight.grad[:4].abs().max() < 1e-6
        assert bias.grad[:4].abs().max() < 1e-6
        assert not weight[4].any()
        # Half a row more of 401; or nothing at all, where another class is there for sure.
        share = torch.sigmoid(bias[4]) if task == "tags" else bias[4].exp()
        assert share.item() == pytest.approx(0.5 / 401 if task == "tags" else 0)


def test_a_label_of_every_row_and_one_row_in_all() -> None:
    head = fit_linear(torch.randn(20, 3), torch.ones(20, 1))
    assert not head.weight.any()
    assert torch.sigmoid(head.bias).item() == pytest.approx(20.5 / 21)
    assert not fit_linear(torch.zeros(1, 3), torch.ones(1, 2)).weight.any()
