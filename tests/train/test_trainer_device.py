"""What a step computes in which precision, that it waits for nothing, and what it measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from clmr.augment import Views
from clmr.errors import ConfigError
from clmr.geometry import alignment, uniformity
from clmr.loss import contrastive_output
from loaders import Batch
from tests.train.test_trainer import HERE, settings
from train.optimizer import load_optimizer
from train.precision import Precision, tf32
from train.trainer import Trainer


def switches() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


class Seen(torch.autograd.Function):
    """The identity, which notes how the switches stand in its forward and in its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, where: str, notes: dict[str, tuple[bool, bool]]) -> Tensor:
        ctx.where, ctx.notes = where, notes
        notes[f"{where}, forward"] = switches()
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        ctx.notes[f"{ctx.where}, backward"] = switches()
        return gradients[0], None, None


def one_batch(trainer: Trainer) -> Batch:
    with trainer.loader:
        return next(iter(trainer.loader))


def noted(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[bool, bool]]:
    """How the switches stood in every part of a step."""
    notes: dict[str, tuple[bool, bool]] = {}
    views, encoder = trainer.views, trainer.model.encoder

    def seen_views(*arguments: Any) -> Tensor:
        notes["views"] = switches()
        return views(*arguments)

    monkeypatch.setattr(trainer, "views", seen_views)
    monkeypatch.setattr(
        "train.trainer.contrastive_output",
        lambda z_i, z_j, temperature: contrastive_output(Seen.apply(z_i, "loss", notes), z_j, temperature),  # type: ignore[no-untyped-call]  # as torch has it
    )
    encoder.register_forward_hook(lambda _module, _inputs, h: Seen.apply(h, "model", notes))  # type: ignore[no-untyped-call]  # likewise
    trainer.optimizer.register_step_pre_hook(lambda *_: notes.update(optimiser=switches()))
    trainer.step(one_batch(trainer))
    return notes


@pytest.mark.parametrize("before", [(False, True), (True, False)], ids=["as torch has it", "turned round"])
@pytest.mark.parametrize("precision", ["tf32", "float32", "bf16"])
def test_tf32_is_the_models_alone(
    shards: Path, precision: str, before: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_torch_has_it = switches()
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    try:
        notes = noted(Trainer(settings(shards, precision=precision, augment="crop"), HERE), monkeypatch)
        assert switches() == before
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = as_torch_has_it
    model = (precision == "tf32",) * 2
    assert notes == {
        "views": (False, False),
        "model, forward": model,
        "model, backward": model,
        "loss, forward": (False, False),
        "loss, backward": (False, False),
        "optimiser": (False, False),
    }


@pytest.mark.parametrize("where", ["contrastive_output", "project"])
def test_the_switches_are_put_back_when_a_step_breaks(
    shards: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(settings(shards, precision="tf32", augment="crop"), HERE)
    before = switches()

    def broken(*_: object) -> None:
        raise ArithmeticError

    if where == "project":
        monkeypatch.setattr(trainer, where, broken)
    else:
        monkeypatch.setattr(f"train.trainer.{where}", broken)
    batch = one_batch(trainer)
    with pytest.raises(ArithmeticError):
        trainer.step(batch)
    assert switches() == before


def test_autocast_is_the_models_alone() -> None:
    for name in ("float32", "tf32", "bf16", "float64"):
        precision = Precision(name, "cpu")
        assert precision.dtype is (torch.float64 if name == "float64" else torch.float32)
        with precision.forward():
            assert torch.is_autocast_enabled("cpu") == (name == "bf16")
        with precision.backward():
            assert not torch.is_autocast_enabled("cpu")


def test_on_a_cpu_tf32_is_float32(shards: Path) -> None:
    losses, weights = [], []
    for precision in ("float32", "tf32"):
        trainer = Trainer(settings(shards, precision=precision, augment="crop"), HERE)
        losses.append(trainer.step(one_batch(trainer))["loss"])
        weights.append(torch.cat([each.detach().flatten() for each in trainer.model.parameters()]))
    assert torch.equal(*losses)
    assert torch.equal(*weights)


def test_compile_and_fused_exclude_each_other(shards: Path) -> None:
    with pytest.raises(ConfigError, match="--compile and --fused exclude each other"):
        settings(shards, compile=True, fused=True)
    assert Trainer(settings(shards, fused=True), HERE).model.encoder.fused
    assert not Trainer(settings(shards), HERE).model.encoder.fused


class NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for a device's values."""

    REFUSED = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own has no annotations

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        assert name.removesuffix("_") not in self.REFUSED, f"{name} waits for the device"
        return func(*args, **kwargs or {})


def without_waiting(trainer: Trainer, batch: Batch, *, measure: bool) -> dict[str, Tensor]:
    """A step on views that are there already: what they are drawn from is on the host, and may be looked at."""
    views = trainer.views(batch.pcm, batch.keys, trainer.precision.dtype)
    trainer.views = lambda *_: views  # type: ignore[assignment]  # of Views only the call is needed
    with NoWaiting():
        return trainer.step(batch, measure=measure)


@pytest.mark.parametrize(
    "change",
    [{}, {"optimizer": "lars"}, {"precision": "bf16"}, {"fused": True}, {"batch_statistics": "both"}],
    ids=lambda change: next(iter(change.values()), "plain"),
)
def test_a_step_waits_for_nothing(shards: Path, change: dict[str, object]) -> None:
    trainer = Trainer(settings(shards, augment="crop", **change), HERE)
    values = without_waiting(trainer, one_batch(trainer), measure=True)
    assert all(value.ndim == 0 and not value.requires_grad for value in values.values())
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        values["loss"].item()


def test_what_a_step_measures(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(settings(shards, augment="crop", schedule="cosine", steps=4), HERE)
    batch = one_batch(trainer)
    views = Views.preset("crop", 8000)(batch.pcm, batch.keys, torch.float64)
    z_i, z_j = trainer.model(views)
    gradients: list[Tensor] = []
    trainer.optimizer.register_step_pre_hook(
        lambda *_: gradients.extend(each.grad.flatten() for each in trainer.model.parameters() if each.grad is not None)
    )
    assert trainer.learning_rate == trainer.schedule(0)
    values = trainer.step(batch, measure=True)
    assert list(values) == ["loss", "contrastive_accuracy", "alignment", "uniformity", "gradient_norm"]
    torch.testing.assert_close(values["alignment"], alignment(z_i, z_j))
    torch.testing.assert_close(values["uniformity"], uniformity(z_i, z_j))
    torch.testing.assert_close(values["gradient_norm"], torch.cat(gradients).norm())
    assert list(trainer.step(batch)) == ["loss", "contrastive_accuracy"]
    assert trainer.learning_rate == trainer.schedule(1) == trainer.optimizer.param_groups[0]["lr"]


def adam(fused: bool) -> tuple[list[Tensor], torch.optim.Adam]:
    weights = [torch.ones(3, requires_grad=True)]
    return weights, torch.optim.Adam(weights, lr=0.1, fused=fused)


@pytest.mark.parametrize("fused", [False, True], ids=["to plain", "to fused"])
def test_a_checkpoint_of_either_adam_goes_on(fused: bool) -> None:
    (theirs, writer), (ours, reader) = adam(not fused), adam(fused)

    def step(weights: list[Tensor], optimizer: torch.optim.Adam) -> None:
        weights[0].grad = torch.tensor([1.0, -2.0, 3.0])
        optimizer.step()

    step(theirs, writer)
    load_optimizer(reader, writer.state_dict())
    ours[0].data.copy_(theirs[0].data)
    assert reader.param_groups[0]["fused"] is fused
    assert writer.param_groups[0]["fused"] is not fused
    step(theirs, writer)
    step(ours, reader)
    torch.testing.assert_close(ours, theirs)


def test_a_switch_inside_a_switch() -> None:
    before = switches()
    with tf32(allowed=False):
        with tf32(allowed=True):
            assert switches() == (True, True)
        assert switches() == (False, False)
    assert switches() == before
