"""Projector and model: shapes, sizes, and one pass of the encoder per view."""

from __future__ import annotations

import pytest
import torch

from clmr import ContrastiveModel, Projector, SampleCNN
from clmr.errors import ConfigError


def test_projector_of_the_paper() -> None:
    projector = Projector(512)
    assert sum(parameter.numel() for parameter in projector.parameters()) == 327_680
    assert list(projector.state_dict()) == ["0.weight", "2.weight"]
    h = torch.randn(3, 512)
    w1, w2 = projector.state_dict().values()
    torch.testing.assert_close(projector(h), (h @ w1.T).clamp(min=0) @ w2.T)


def test_projector_sizes() -> None:
    assert Projector(16, hidden=5, out=7)(torch.zeros(2, 16)).shape == (2, 7)
    with pytest.raises(ConfigError, match="out 0"):
        Projector(16, out=0)


def test_views_are_normalised_apart() -> None:
    torch.manual_seed(0)
    model = ContrastiveModel(SampleCNN(8000, width=16), Projector(16, out=8))
    quiet, loud = torch.randn(3, 1, 20736), 10 * torch.randn(3, 1, 20736)
    z = model(torch.stack([quiet, loud]))
    assert z.shape == (2, 3, 8)
    torch.testing.assert_close(z[0], model(torch.stack([quiet, quiet]))[0])
    assert int(model.encoder.sequential[0][1].num_batches_tracked) == 4  # type: ignore[index]  # Sequential of Sequential


def test_refuses_one_view() -> None:
    with pytest.raises(ConfigError, match=r"\[2, B, 1, T\]"):
        ContrastiveModel(SampleCNN(8000, width=16), Projector(16))(torch.zeros(1, 3, 1, 20736))
