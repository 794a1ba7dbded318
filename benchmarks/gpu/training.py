"""train/trainer.py on the device: nothing in a step waits, no memory is lost, checkpoints go to any machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Figures, Target, WrongError, waiting_refused
from benchmarks.gpu.compare import close
from benchmarks.gpu.shards import made_shards

# Precision and way of every kind of step.
KINDS = (("float32", "eager"), ("tf32", "eager"), ("bf16", "eager"), ("bf16", "fused"), ("float32", "fused"))
COMPILING = 45.0  # seconds that a compilation may take
LEARNED = 2e-3  # features after a few steps in float32 and TF32 off


@contextmanager
def opened(target: Target, root: Path, state: dict[str, Any] | None = None, **options: Any) -> Iterator[Any]:
    """A trainer on shards, its loader closed afterwards."""
    from train.ranks.launch import Place
    from train.settings import PretrainSettings
    from train.trainer import Trainer

    size = {"width": 16, "batch_size": 4} if target.quick else {"width": 512, "batch_size": 16}
    settings = PretrainSettings(shards=(str(root),), **{**size, "steps": 1000, **options})
    trainer = Trainer(settings, Place(0, 1, target.device), state)
    with trainer.loader:
        yield trainer


@contextmanager
def shards(target: Target) -> Iterator[Path]:
    """Two batches' worth of tracks or more."""
    sample_rate, frames = (8000, 21_500) if target.quick else (22050, 66_150)
    with made_shards(12 if target.quick else 64, frames, sample_rate) as root:
        yield root


def _batches(trainer: Any, number: int) -> list[Any]:
    from loaders.saturation.measure import endless

    source = endless(trainer.loader)
    return [next(source) for _ in range(number)]


def no_waiting(target: Target) -> Figures:
    """Steps of every precision, those that measure too, by either optimiser."""
    target.need_gpu("a CPU is not waited for")
    counted = []
    with shards(target) as root:
        for precision, way in KINDS:
            for optimizer in ("adam", "lars") if precision == "bf16" else ("adam",):
                options: dict[str, Any] = {"precision": precision, "fused": way == "fused", "optimizer": optimizer}
                with opened(target, root, **options) as trainer:
                    batches = _batches(trainer, 4)
                    for batch in batches[:2]:
                        trainer.step(batch, measure=True)
                    try:
                        with waiting_refused(target):
                            for batch in batches:
                                trainer.step(batch)
                                trainer.step(batch, measure=True)
                    except RuntimeError as error:
                        raise WrongError(f"{precision}, {way}, {optimizer}: {error}") from error
                    counted.append(f"{precision}, {way}, {optimizer}")
    return {"kinds": counted}


def compiled_no_waiting(target: Target) -> Figures:
    """The same, compiled."""
    target.need_gpu("a CPU is not waited for")
    target.need_time(COMPILING)
    with shards(target) as root, opened(target, root, precision="bf16", compile=True) as trainer:
        batches = _batches(trainer, 4)
        for batch in batches:
            trainer.step(batch)
        with waiting_refused(target):
            for batch in batches:
                trainer.step(batch)
    return {"steps": 4}


def same_memory(target: Target) -> Figures:
    """After the first steps none takes more."""
    target.need_gpu("torch counts the memory of GPUs")
    found = {}
    with shards(target) as root:
        for precision, way in KINDS:
            with opened(target, root, precision=precision, fused=way == "fused") as trainer:
                batches, marks = _batches(trainer, 3), []
                for number in range(15):
                    trainer.step(batches[number % 3], measure=number % 5 == 0)
                    target.wait()
                    marks.append(torch.cuda.memory_allocated(target.device))
                if max(marks[9:]) > max(marks[4:9]):
                    raise WrongError(
                        f"{precision}, {way}: {max(marks[9:]) - max(marks[4:9])} bytes more after 15 steps"
                    )
                found[f"{precision}, {way}, bytes held"] = marks[-1]
    return found


def same_steps(target: Target) -> Figures:
    """Steps on batches of the loader, against a trainer in float64 on the CPU: loader, views, loss, optimiser."""
    cpu = Target(torch.device("cpu"), target.quick)
    number = 2 if target.quick else 3
    losses: dict[str, Tensor] = {}
    with shards(target) as root:
        # The same width on both, small enough for a CPU in float64.
        for name, place, precision in (("cpu", cpu, "float64"), ("device", target, "float32")):
            size: dict[str, Any] = {"width": 16} if target.quick else {"width": 128, "batch_size": 8}
            with opened(place, root, precision=precision, augment="paper", **size) as trainer:
                losses[name] = torch.stack(
                    [trainer.step(batch)["loss"].double().cpu() for batch in _batches(trainer, number)]
                )
    # Adam moves every weight by about the learning rate whatever its gradient's size, so rounding tells from step 2 on.
    return {
        "first_loss": close("first loss", losses["device"][:1], losses["cpu"][:1], 1e-3),
        "losses": close("losses", losses["device"], losses["cpu"], 2e-2),
    }


def checkpoints(target: Target) -> Figures:
    """Written from the device; read on the CPU for features, and on the device to go on."""
    from train.precision import tf32
    from train.runs import checkpoint

    with shards(target) as root, TemporaryDirectory(prefix="clmr-gpu-run-") as name:
        with opened(target, root) as trainer:
            for batch in _batches(trainer, 3):
                trainer.step(batch)
            path = checkpoint.save(Path(name), trainer.step_count, {**trainer.state(), "step": trainer.step_count})
            batch = _batches(trainer, 1)[0]
            here = trainer.model.encoder.eval()
            views = trainer.views(batch.pcm, batch.keys)[0]
            with torch.no_grad(), tf32(allowed=False):
                features = here(views)
            trainer.model.train()
            following = trainer.step(batch)["loss"].double().cpu()
        encoder, _ = checkpoint.load_encoder(None, path)
        with torch.no_grad():
            on_cpu = encoder(views.cpu())
        with opened(target, root, checkpoint.load(path)) as trainer:
            again = trainer.step(_batches(trainer, 1)[0])["loss"].double().cpu()
    return {
        "features": close("features on the CPU", features, on_cpu, LEARNED),
        "loss_after_resuming": close("loss of the next step", again, following, 1e-4),
    }


def out_of_memory(target: Target) -> Figures:
    """Too large a batch ends in one line that names what helps."""
    target.need_gpu("a CPU's memory is not bounded by torch")
    from clmr.errors import ClmrError
    from train.memory.out_of_memory import options_that_help

    total = torch.cuda.get_device_properties(target.device).total_memory
    with shards(target) as root, opened(target, root, batch_size=64) as trainer:
        batch = _batches(trainer, 1)[0]
        torch.cuda.set_per_process_memory_fraction(min(1.0, 1e9 / total), target.device)
        try:
            with options_that_help(trainer.settings, trainer.loader.sample_rate, trainer.place):
                trainer.step(batch)
        except ClmrError as error:
            message = str(error)
        except torch.OutOfMemoryError as error:
            raise WrongError("torch's own error reaches the user, without an option that helps") from error
        else:
            raise WrongError("a step of 64 pairs fits 1 GB: the limit did not hold")
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, target.device)
    if "--" not in message:
        raise WrongError(f"the message names no option: {message}")
    return {"message": message}


CHECKS = (
    Check("Trainer.step never waits", "the host runs ahead of the device, in every precision", no_waiting),
    Check("steps hold no memory", "the memory of a step is that of the next", same_memory),
    Check("steps on loaded batches", "loader, views, loss and optimiser are the CPU's together", same_steps),
    Check("checkpoints", "one written here serves a CPU, and goes on here", checkpoints),
    Check("out of memory", "one line says which option helps", out_of_memory),
    Check("compiled steps never wait", "the host runs ahead of the device", compiled_no_waiting),
)
