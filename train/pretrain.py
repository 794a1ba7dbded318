"""NT-Xent pretraining of a SampleCNN on crop pairs (paper section 2).

    python train/pretrain.py --shards data/shards/mtat --run runs/mtat --epochs 1000
    torchrun --nproc-per-node 4 -- train/pretrain.py --shards data/shards/mtat --run runs/mtat --epochs 1000
    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -- train/pretrain.py ...
    python train/pretrain.py --shards data/shards/demo --run runs/small --steps 600 --width 128   # a laptop

The same command again goes on from the newest checkpoint, after a kill -9 as after SIGTERM, at any number of processes.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from clmr import ContrastiveModel, Projector, SampleCNN
from clmr.augment import Chain, from_int16
from clmr.errors import ResumeError, one_line_errors
from clmr.loss import contrastive_output
from loaders import Batch, PairLoader
from train import checkpoint
from train.launch import DEVICES, Place, from_first, mean_over_ranks, placed
from train.preempt import StopRequest
from train.runlog import RunLog
from train.settings import PRECISIONS, PretrainSettings, check_resume, save_config

LOG_EVERY = 10  # steps between lines of the log; the loss is fetched from the device only then


def build_model(settings: PretrainSettings, sample_rate: int) -> ContrastiveModel:
    """Encoder and projector with the initial weights of ``settings.seed``, the same on every rank."""
    torch.manual_seed(settings.seed)
    encoder = SampleCNN(sample_rate=sample_rate, width=settings.width)
    return ContrastiveModel(encoder, Projector(settings.width, out=settings.projection))


def make_views(batch: Batch, chain: Chain, dtype: torch.dtype = torch.float32) -> Tensor:
    """int16 crops ``[b, 2, T]`` to augmented views ``[2, b, 1, T]``: one chain call for both views of every track."""
    pairs, _, frames = batch.pcm.shape
    crops = from_int16(batch.pcm.transpose(0, 1)).to(dtype)
    views = chain(crops, batch.keys.transpose(0, 1).reshape(2 * pairs))
    return views.view(2, pairs, 1, frames)


def epochs_of(loader: PairLoader) -> Iterator[Batch]:
    """Batches without end, epoch after epoch, from where the loader stands."""
    while True:
        yield from loader


class Trainer:
    """Model, optimiser, loader and chain of one run; ``step`` does one optimiser step."""

    def __init__(self, settings: PretrainSettings, place: Place) -> None:
        self.settings, self.place = settings, place
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        self.loader = PairLoader(
            settings.shards,
            batch_size=settings.batch_size,
            seed=settings.seed,
            rank=place.rank,
            world_size=place.world_size,
            device=place.device,
        )
        self.chain = Chain.preset(settings.augment, sample_rate=self.loader.sample_rate)
        self.model = build_model(settings, self.loader.sample_rate).to(place.device, self.dtype)
        self.ranked: nn.Module = self.model
        if place.world_size > 1:
            # Buffers need no broadcast: the batch-norm statistics are global, hence the same on every rank.
            self.ranked = DistributedDataParallel(self.model, broadcast_buffers=False)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate)
        self.step_count = 0
        steps = settings.steps if settings.steps is not None else (settings.epochs or 0) * len(self.loader)
        self.total = steps

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One optimiser step; returns this rank's loss and contrastive accuracy, still on the device."""
        views = make_views(batch, self.chain, self.dtype)
        with torch.autocast(self.place.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            z = self.ranked(views)
        outcome = contrastive_output(z[0], z[1], self.settings.temperature)
        self.optimizer.zero_grad(set_to_none=True)
        outcome.loss.backward()
        self.optimizer.step()
        self.step_count += 1
        return outcome.loss.detach(), outcome.accuracy.detach()

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),
            "rng": torch.get_rng_state(),
            "encoder_config": {"sample_rate": self.loader.sample_rate, "width": self.settings.width},
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.loader.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        self.step_count = state["step"]
        if self.step_count > self.total:
            raise ResumeError(f"the run has done {self.step_count} steps already, more than the {self.total} asked for")

    def config(self) -> dict[str, Any]:
        """What ``config.json`` says of the run."""
        return {
            "settings": asdict(self.settings),
            "total_steps": self.total,
            "steps_per_epoch": len(self.loader),
            "sample_rate": self.loader.sample_rate,
            "tracks": len(self.loader.tracks),
            "loader_fingerprint": self.loader.state_dict()["fingerprint"],
            "augment": self.chain.describe(),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "world_size": self.place.world_size,
            "software": {"python": platform.python_version(), "torch": torch.__version__},
        }


class Saver:
    """Writes a checkpoint of the trainer, once for each step it is asked at, from the first rank."""

    def __init__(self, trainer: Trainer, run: Path) -> None:
        self.trainer, self.run = trainer, run
        self.saved = trainer.step_count if checkpoint.checkpoint_path(run, trainer.step_count).exists() else None

    def __call__(self) -> None:
        """Write the checkpoint, unless this step's is there."""
        if self.saved != self.trainer.step_count and self.trainer.place.first:
            checkpoint.save(self.run, self.trainer.step_count, self.trainer.state())
        self.saved = self.trainer.step_count


def train(trainer: Trainer, run: Path, checkpoint_every: int) -> bool:
    """Train to the last step; False when a signal ended it earlier. Either way the last step is in a checkpoint."""
    save = Saver(trainer, run)
    if trainer.step_count == 0:
        save()  # the initial weights: what the pretrained encoder is compared with
    batches = epochs_of(trainer.loader)
    since, waited, logged = time.perf_counter(), 0.0, trainer.step_count
    first = trainer.place.first
    with RunLog(run, start=logged, total=trainer.total, active=first) as log, StopRequest() as stop:
        ending = trainer.step_count >= trainer.total
        while not ending:
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            loss, accuracy = trainer.step(batch)
            log.advance()
            step = trainer.step_count
            ending = stop.agreed() or step == trainer.total
            if step % LOG_EVERY == 0 or ending:
                mean_loss, mean_accuracy = mean_over_ranks(loss, accuracy)
                now = time.perf_counter()
                log.write(
                    {
                        "step": step,
                        "epoch": batch.epoch,
                        "loss": mean_loss,
                        "contrastive_accuracy": mean_accuracy,
                        "pairs_per_second": (step - logged) * trainer.settings.batch_size / (now - since),
                        "wait_share": waited / (now - since),
                    }
                )
                since, waited, logged = now, 0.0, step
            if step % checkpoint_every == 0:
                save()
        save()
    return trainer.step_count >= trainer.total


def find_state(run: Path, settings: PretrainSettings) -> dict[str, Any] | None:
    """The newest checkpoint of ``run``, if it has any and they belong to these settings."""
    if not checkpoint.checkpoints(run):
        return None
    check_resume(run, settings)
    return checkpoint.latest(run, set_aside=True)


@click.command(context_settings={"show_default": True})
@click.option("--shards", required=True, help="Folder of shards.")
@click.option("--run", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of this run.")
@click.option("--epochs", type=int, help="Passes over the tracks.")
@click.option("--steps", type=int, help="Optimiser steps, instead of --epochs.")
@click.option("--batch-size", default=96, help="Pairs in a global batch, over all processes.")
@click.option("--width", default=512, help="Length of the representation; 512 is the paper's encoder.")
@click.option("--projection", default=128, help="Length of the projection the loss sees.")
@click.option("--temperature", default=0.5, help="Temperature of NT-Xent.")
@click.option("--learning-rate", default=3e-4, help="Of Adam.")
@click.option("--augment", default="paper", help="Preset of the augmentation chain: paper or official.")
@click.option("--seed", default=0, help="Of the initial weights and of every draw.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32")
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=500, help="Steps between checkpoints.")
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads  [default: this process's share of the cores]")
@one_line_errors()
def main(run: Path, checkpoint_every: int, device: str, threads: int | None, **options: Any) -> None:
    """Pretrain an encoder without labels. The same command again goes on where it was."""
    settings = PretrainSettings(**options)
    with placed(device, threads) as place:
        state = from_first(lambda: find_state(run, settings))
        trainer = Trainer(settings, place)
        with trainer.loader:
            if state is not None:
                trainer.resume(state)
            if place.first:
                save_config(run, trainer.config())
            finished = train(trainer, run, checkpoint_every)
        if place.first:
            where = f"step {trainer.step_count} of {trainer.total}"
            click.echo(
                f"{run}: {where}" if finished else f"{run}: stopped at {where}; the same command goes on from there"
            )


if __name__ == "__main__":
    main()
