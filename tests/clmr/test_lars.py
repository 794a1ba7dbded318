"""LARS against a loop over single numbers in float64, and what it leaves alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from clmr import ContrastiveModel, Projector, SampleCNN
from clmr.errors import ConfigError
from clmr.lars import LARS, lars_groups
from tests.tolerances import FLOAT64

LR, MOMENTUM, DECAY, TRUST = 0.7, 0.8, 0.3, 0.02


def norm(values: list[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values))


def plain_step(w: list[float], g: list[float], v: list[float], lr: float, *, exclude: bool) -> None:
    """You et al., algorithm 1, a number at a time; ``w`` and ``v`` are changed in place."""
    local, decay = (1.0, 0.0) if exclude else (TRUST * norm(w) / (norm(g) + DECAY * norm(w)), DECAY)
    for i in range(len(w)):
        v[i] = MOMENTUM * v[i] + lr * local * (g[i] + decay * w[i])
        w[i] -= v[i]


def network() -> nn.Sequential:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)).double()
    nn.init.uniform_(model[1].weight, 0.5, 2.0)  # type: ignore[arg-type]  # Sequential forgets its modules' types
    return model


def optimizer_of(model: nn.Module) -> LARS:
    return LARS(lars_groups(model), LR, momentum=MOMENTUM, weight_decay=DECAY, trust=TRUST)


def give_gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def test_equals_a_loop_over_numbers() -> None:
    """Six steps with another learning rate in each, as a schedule has it."""
    model = network()
    optimizer = optimizer_of(model)
    excluded = {"0.bias", "1.weight", "1.bias", "4.bias"}
    weights = {name: parameter.detach().flatten().tolist() for name, parameter in model.named_parameters()}
    velocities = {name: [0.0] * len(values) for name, values in weights.items()}
    for step in range(6):
        give_gradients(model, step)
        lr = LR / (1 + step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            gradient = parameter.grad.flatten().tolist()
            plain_step(weights[name], gradient, velocities[name], lr, exclude=name in excluded)
        optimizer.step()
    for name, parameter in model.named_parameters():
        expected = torch.tensor(weights[name], dtype=torch.float64).view_as(parameter)
        torch.testing.assert_close(parameter.detach(), expected, rtol=FLOAT64, atol=FLOAT64, msg=name)


def test_what_is_excluded_from_the_papers_model() -> None:
    """Every bias and batch norm; the weights of eleven convolutions and of the projector's two layers are not."""
    model = ContrastiveModel(SampleCNN(8000, 16), Projector(16, out=8))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    adapted, excluded = (
        {names[id(parameter)]: parameter for parameter in group["params"]} for group in lars_groups(model)
    )
    assert adapted.keys() | excluded.keys() == set(names.values())
    assert not adapted.keys() & excluded.keys()
    assert all(parameter.ndim >= 2 and name.endswith("weight") for name, parameter in adapted.items())
    assert all(parameter.ndim == 1 for parameter in excluded.values())
    assert len(adapted) == 13


def test_the_excluded_take_a_plain_step() -> None:
    """At a gradient of 0 weight decay would be all that moves them; without momentum the step is lr g."""
    model = network()
    optimizer = LARS(lars_groups(model), LR, momentum=0.0, weight_decay=DECAY)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    norm_weight = dict(model.named_parameters())["1.weight"]
    norm_weight.grad = torch.ones_like(norm_weight)
    optimizer.step()
    after = {name: parameter.detach() for name, parameter in model.named_parameters()}
    torch.testing.assert_close(after["1.weight"], before["1.weight"] - LR, rtol=FLOAT64, atol=0)
    assert torch.equal(after["0.bias"], before["0.bias"])
    assert torch.equal(after["4.bias"], before["4.bias"])
    # A weight without a gradient has the ratio 1 and is decayed, as by plain gradient descent.
    torch.testing.assert_close(after["4.weight"], before["4.weight"] * (1 - LR * DECAY), rtol=FLOAT64, atol=0)


def test_the_step_does_not_depend_on_the_scale_of_the_gradient() -> None:
    """Which is what LARS is for, without weight decay."""
    moved = []
    for scale in (1e-8, 1.0, 1e8):
        weight = torch.linspace(-1, 2, 12, dtype=torch.float64).requires_grad_()
        weight.grad = scale * torch.sin(torch.arange(12, dtype=torch.float64))
        before = weight.detach().clone()
        LARS([weight], LR, trust=TRUST).step()
        moved.append(before - weight.detach())
    torch.testing.assert_close(moved[0], moved[1], rtol=FLOAT64, atol=FLOAT64)
    torch.testing.assert_close(moved[2], moved[1], rtol=FLOAT64, atol=FLOAT64)
    assert float(moved[1].norm()) == pytest.approx(LR * TRUST * float(before.norm()))


def test_zeros_and_missing_gradients() -> None:
    zero, frozen = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    zero.grad = torch.ones(3)
    LARS([zero, frozen], 0.5).step()
    assert zero.tolist() == [-0.5] * 3
    assert frozen.tolist() == [1.0] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_goes_on_from_its_state(dtype: torch.dtype, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Through a file that runs no code, and exactly."""
    path = tmp_path_factory.mktemp("state") / "state.pt"
    model = network().to(dtype)
    optimizer = optimizer_of(model)
    for step in range(2):
        give_gradients(model, step)
        optimizer.step()
    torch.save(optimizer.state_dict(), path)
    other = copy.deepcopy(model)
    resumed = LARS(lars_groups(other), 0.1)  # whatever it was made with, the state says what it was
    resumed.load_state_dict(torch.load(path, weights_only=True))
    for step in (2, 3):
        for each, its in ((model, optimizer), (other, resumed)):
            give_gradients(each, step)
            its.step()
    ours, theirs = list(model.parameters()), list(other.parameters())
    assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))


def test_a_closure_is_called_with_gradients() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = LARS([weight], 0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss.detach()

    assert float(optimizer.step(closure)) == 2.0
    assert weight.detach().tolist() < [1.0, 1.0]


@pytest.mark.parametrize(
    "wrong",
    [{"lr": -1.0}, {"lr": float("nan")}, {"momentum": 1.0}, {"weight_decay": -1e-9}, {"trust": 0.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_numbers_out_of_range(wrong: dict[str, float]) -> None:
    numbers = {"lr": 0.1, **wrong}
    with pytest.raises(ConfigError, match=f"LARS takes {next(iter(wrong))} "):
        LARS([torch.ones(1, requires_grad=True)], **numbers)
