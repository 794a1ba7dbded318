"""Projector and model: shapes, sizes, and batch statistics of each view or of both."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from clmr import ContrastiveModel, Projector, SampleCNN
from clmr.errors import ConfigError
from tests.tolerances import FLOAT64


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


def loud_and_quiet() -> Tensor:
    """Views ``[2, 3, 1, T]`` whose batch statistics have little in common."""
    views = torch.randn(2, 3, 1, 20736, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return views * torch.tensor([0.1, 10])[:, None, None, None] + torch.tensor([0.2, -3])[:, None, None, None]


def small_model(batch_statistics: str = "view") -> ContrastiveModel:
    torch.manual_seed(0)
    return ContrastiveModel(SampleCNN(8000, width=16), Projector(16, out=8), batch_statistics).double()


def test_one_pass_is_two_passes() -> None:
    """Of 2B rows in two groups: results, gradients and what the running statistics become, first views first."""
    views = loud_and_quiet()
    apart, together = small_model(), small_model()
    expected = torch.stack([apart.projector(apart.encoder(view)) for view in views])
    found = together.projector(together.encoder(views.flatten(0, 1), groups=2)).unflatten(0, (2, 3))
    torch.testing.assert_close(found, expected, rtol=FLOAT64, atol=FLOAT64)
    weight = torch.randn_like(expected)
    for z in (expected, found):
        (z * weight).sum().backward()
    largest = max(p.grad.abs().max() for p in apart.parameters() if p.grad is not None)
    for a, b in zip(together.parameters(), apart.parameters(), strict=True):
        assert a.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=FLOAT64, atol=float(FLOAT64 * largest))
    for mine, theirs in zip(together.buffers(), apart.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=FLOAT64, atol=FLOAT64)


def test_statistics_per_view_are_the_default() -> None:
    views, model, encoder = loud_and_quiet(), small_model(), small_model().encoder
    expected = [model.projector(encoder(view)) for view in views]
    assert torch.equal(model(views), torch.stack(expected))
    for a, b in zip(model.encoder.buffers(), encoder.buffers(), strict=True):
        assert torch.equal(a, b)


def test_statistics_over_both_views() -> None:
    """One batch of 2B: one step of the running statistics, and other results than per view."""
    views, model, encoder = loud_and_quiet(), small_model("both"), small_model().encoder
    z = model(views)
    assert z.shape == (2, 3, 8)
    assert torch.equal(z.flatten(0, 1), model.projector(encoder(views.flatten(0, 1))))
    assert int(model.encoder.sequential[3][1].num_batches_tracked) == 1  # type: ignore[index]  # Sequential of Sequential
    assert not torch.allclose(z, small_model()(views), rtol=0.1)


def test_evaluation_knows_no_groups() -> None:
    views, model = loud_and_quiet(), small_model()
    model(views)
    model.eval()
    for row in (0, 2):
        torch.testing.assert_close(model(views)[:, row], model(views[:, [row]])[:, 0], rtol=FLOAT64, atol=FLOAT64)
    rows = views.flatten(0, 1)
    assert torch.equal(model.encoder(rows, groups=2), model.encoder(rows))


def test_a_gpu_gets_both_views_in_one_pass() -> None:
    """On a pretended one, where nothing is computed and a wait for a value would fail."""
    passes: list[tuple[int, int]] = []
    with FakeTensorMode(), torch.device("cuda"):
        model = ContrastiveModel(SampleCNN(8000, width=16), Projector(16, out=8))
        model.encoder.register_forward_pre_hook(
            lambda _, audio, given: passes.append((len(audio[0]), given["groups"])), with_kwargs=True
        )
        assert model(torch.zeros(2, 3, 1, 20736)).shape == (2, 3, 8)
    assert passes == [(6, 2)]


@pytest.mark.parametrize("groups", [0, -1, 2, 4])
def test_refuses_unequal_groups(groups: int) -> None:
    with pytest.raises(ConfigError, match="equal parts"):
        SampleCNN(8000, width=16)(torch.zeros(3, 1, 20736), groups=groups)


def test_refuses_other_statistics() -> None:
    with pytest.raises(ConfigError, match="view, both"):
        small_model("global")


def test_refuses_one_view() -> None:
    with pytest.raises(ConfigError, match=r"\[2, B, 1, T\]"):
        ContrastiveModel(SampleCNN(8000, width=16), Projector(16))(torch.zeros(1, 3, 1, 20736))
