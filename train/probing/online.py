"""A linear probe while the encoder trains: the paper's Table 5 as a curve, at the price of seconds (docs/watching.md).

It looks at the train and valid splits of the run's own shards, never at test, and leaves the training as it was: the
encoder is a copy, nothing random is drawn, and the loader of the pairs is not touched.
"""

from __future__ import annotations

import copy
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clmr import SampleCNN
from clmr.augment import from_int16
from clmr.collectives import sum_over_ranks
from clmr.errors import ConfigError
from clmr.metrics import tag_metrics
from loaders.saturation.figures import RankSpeeds
from sharding.format import read_manifest
from train.labelled.data import choose_task
from train.probing.head import Standardiser, track_probabilities
from train.probing.linear_fit import fit_linear
from train.probing.windows import WINDOWS_PER_TRACK, ProbeWindows
from train.ranks.launch import from_first
from train.runs.log import RunLog, StepLines, read_probes
from train.trainer import Trainer

TRAIN_TRACKS, VALID_TRACKS = 2048, 1024  # at most


@torch.no_grad()
def encode(encoder: SampleCNN, windows: ProbeWindows) -> Tensor:
    """Features of all windows, float32 ``[W, D]`` on the CPU of every rank; every rank must call it.

    Args:
        encoder: in evaluation mode, on the device of the windows.
        windows: each rank encodes its share.
    """
    dtype = next(encoder.parameters()).dtype
    rows = torch.zeros(windows.total_windows, encoder.width)  # on a rank without windows too
    for batch in windows:
        rows[batch.position] = encoder(from_int16(batch.pcm).to(dtype)).float().cpu()
    return sum_over_ranks(rows)


class ProbedShards(ExitStack):
    """The train and the valid windows of one folder of shards; closing it closes them."""

    def __init__(self, shards: str, trainer: Trainer) -> None:
        super().__init__()
        manifest = read_manifest(shards)
        self.name = shards.rstrip("/").rsplit("/", 1)[-1]
        """What the results are filed under."""
        self.unfit: str | None = None
        """Why these shards cannot be probed."""
        missing = [split for split in ("train", "valid") if not manifest.splits.get(split)]
        if not manifest.labels or missing:
            self.unfit = f"no tracks in split {missing[0]}" if manifest.labels else "no labels"
            return
        with ExitStack() as opened:
            self.train, self.valid = (
                opened.enter_context(
                    ProbeWindows(
                        shards,
                        split,
                        trainer.place,
                        sample_rate=trainer.loader.sample_rate,
                        window_frames=trainer.loader.crop_frames,
                        most_tracks=most,
                    )
                )
                for split, most in (("train", TRAIN_TRACKS), ("valid", VALID_TRACKS))
            )
            self.task = choose_task("auto", [self.train.chosen_labels, self.valid.chosen_labels])
            positives = self.valid.chosen_labels.sum(axis=0)
            if not ((positives > 0) & (positives < len(self.valid.chosen))).any():
                self.unfit = "no label has tracks with and without it in split valid"
                return
            self.push(opened.pop_all())

    def describe(self) -> str:
        """What is probed, in a few words."""
        return (
            f"{len(self.train.chosen)} of {len(self.train.tracks)} train and {len(self.valid.chosen)} of "
            f"{len(self.valid.tracks)} valid tracks of {self.name}, at most {WINDOWS_PER_TRACK} windows of each"
        )

    def score(self, train: Tensor, valid: Tensor, device: torch.device) -> dict[str, float]:
        """Scores of the valid tracks, from features of both splits' windows; on one rank."""
        standardise = Standardiser.of(train)
        labels = torch.from_numpy(self.train.chosen_labels[self.train.owner]).float()
        head = fit_linear(standardise(train).to(device), labels.to(device)).cpu()
        probability = track_probabilities(head, standardise(valid), self.valid.owner)
        truth = self.valid.chosen_labels
        ranking = tag_metrics(truth, probability)
        scores = {"roc_auc": ranking.roc_auc, "pr_auc": ranking.pr_auc}
        if self.task == "classes":
            scores["accuracy"] = float(np.mean(probability.argmax(axis=1) == truth.argmax(axis=1)))
        return scores | {"labels_scored": ranking.counted}


class OnlineProbe(ExitStack):
    """Probes the initial weights, those after every so many epochs and the last ones; each once, however often resumed.

    Each folder of a mixture that has labels is probed by itself, because vocabularies differ.

    Args:
        trainer: whose encoder is probed.
        run: folder of the run; the results are in its ``probe.jsonl``.
        log: says and shows them.
        every: epochs between probes; 0 for none at all.

    Attributes:
        seconds: what the probes between steps took so far.
    """

    def __init__(self, trainer: Trainer, run: Path, log: RunLog, every: int) -> None:
        super().__init__()
        self._trainer, self._run, self._log = trainer, run, log
        self._epoch_steps = len(trainer.loader)
        self._every = every * self._epoch_steps
        self._sets: list[ProbedShards] = []
        self.seconds = 0.0
        with ExitStack() as opened:
            for shards in trainer.settings.weights if every else ():
                probed = opened.enter_context(ProbedShards(shards, trainer))
                if probed.unfit is None:
                    if probed.name in {each.name for each in self._sets}:  # folders of one name in two places
                        probed.name += f"-{len(self._sets) + 1}"
                    self._sets.append(probed)
                    log.say(f"probe: every {every} epochs {probed.describe()}")
                else:
                    log.say(f"probe: {shards} is not probed: {probed.unfit}")
            self._lines: StepLines | None = None
            if log.active and (self._sets or (run / "probe.jsonl").exists()):
                self._lines = StepLines(run / "probe.jsonl", start=trainer.step_count)
                opened.callback(self._lines.close)
            self.push(opened.pop_all())

    def catch_up(self) -> None:
        """Probe the weights that the run begins or goes on with, unless that was done; every rank must call it."""
        step = self._trainer.step_count
        if self._due(step) and from_first(lambda: all(entry["step"] != step for entry in read_probes(self._run))):
            self._probe(step)

    def __call__(self) -> bool:
        """Probe the step just done if its turn has come; every rank must call it.

        Raises:
            ConfigError: on every rank, when the weights have diverged.
            ShardError: the windows cannot be read.
            StorageError: likewise.
        """
        step = self._trainer.step_count
        if not self._due(step):
            return False
        begin = time.perf_counter()
        self._probe(step)
        self.seconds += time.perf_counter() - begin
        return True

    def without(self, speeds: RankSpeeds) -> RankSpeeds:
        """The record of a rank, without the time of the probes."""
        if speeds.together is None or not self.seconds < speeds.seconds:
            return speeds
        seconds = speeds.seconds - self.seconds
        return replace(speeds, seconds=seconds, together=speeds.together * speeds.seconds / seconds)

    def _due(self, step: int) -> bool:
        return bool(self._sets) and (step % self._every == 0 or step == self._trainer.total)

    def _probe(self, step: int) -> None:
        # A copy, because evaluation mode and its end would pass through the module that trains.
        encoder = copy.deepcopy(self._trainer.model.encoder).eval()
        entries = [self._entry(step, probed, encoder) for probed in self._sets]
        if self._lines is None:
            return
        self._lines.write(*entries)
        for entry in entries:
            where = "probe" if len(self._sets) == 1 else f"probe/{entry['shards']}"
            names = [name for name in ("roc_auc", "pr_auc", "accuracy", "seconds") if name in entry]
            self._log.scalars({f"{where}/{name}": entry[name] for name in names}, step)
            accuracy = f", accuracy {entry['accuracy']:.4f}" if "accuracy" in entry else ""
            self._log.say(
                f"probe: step {step}, {entry['shards']}: ROC-AUC {entry['roc_auc']:.4f}, "
                f"PR-AUC {entry['pr_auc']:.4f}{accuracy}; {entry['seconds']:.1f} s"
            )
        self._lines.settle()
        self._log.settle()

    def _entry(self, step: int, probed: ProbedShards, encoder: SampleCNN) -> dict[str, Any]:
        begin = time.perf_counter()
        train, valid = encode(encoder, probed.train), encode(encoder, probed.valid)
        if not (train.isfinite().all() and valid.isfinite().all()):
            raise ConfigError(f"the features are not finite at step {step}: lower --learning-rate or --temperature")
        scores = from_first(lambda: probed.score(train, valid, self._trainer.place.device))
        return {
            "step": step,
            "epoch": step / self._epoch_steps,
            "shards": probed.name,
            **scores,
            "train_tracks": len(probed.train.chosen),
            "valid_tracks": len(probed.valid.chosen),
            "windows": probed.train.total_windows + probed.valid.total_windows,
            "seconds": time.perf_counter() - begin,
        }
