"""Checkpoints of a pretraining run: written whole, found again after any kind of death, loaded without running code."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from clmr import SampleCNN
from clmr.cpc import CpcFeatures, load_features
from clmr.errors import ClmrError, ResumeError
from clmr.loading import load_encoder as read_encoder
from sharding.publish import publish, remove_orphans

NAME = re.compile(r"step-[0-9]{8}\.pt")
KEEP = 2  # besides step 0, the initial weights that every comparison needs


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint after ``step`` optimiser steps lies."""
    return run / "checkpoints" / f"step-{step:08d}.pt"


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first; files of other names are the user's own."""
    return sorted(path for path in (run / "checkpoints").glob("step-*.pt") if NAME.fullmatch(path.name))


def save(run: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint whole, then drop the older ones beyond the last two and step 0."""
    target = checkpoint_path(run, step)
    # Through memory, because torch's own writer turns a full disk into an internal error.
    content = io.BytesIO()
    torch.save({"step": step, **state}, content)
    with publish(target) as path:
        path.write_bytes(content.getbuffer())
    remove_orphans(target.parent)
    for old in checkpoints(run)[:-KEEP]:
        if old != checkpoint_path(run, 0):
            old.unlink()
    return target


def load(path: Path) -> dict[str, Any]:
    """Read one checkpoint; only tensors and plain values are unpickled.

    Raises:
        ResumeError: missing, damaged, or not a checkpoint.
    """
    if not path.exists():
        raise ResumeError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not check the sums that its own archives carry
        if damaged is None:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes of a file that is no checkpoint provoke in zipfile or torch
        raise ResumeError(f"{path} is damaged or not a checkpoint ({type(error).__name__})") from error
    if damaged is not None:
        raise ResumeError(f"{path} is damaged: the sum of its part {damaged} is wrong")
    if not isinstance(state, dict) or not {"step", "model", "encoder_config"} <= set(state):
        raise ResumeError(f"{path} is not a checkpoint of train/pretrain.py")
    return state


def newest(run: Path) -> tuple[dict[str, Any] | None, dict[Path, ResumeError]]:
    """The newest readable checkpoint of a run, None without one, and what is wrong with those that are newer."""
    damaged: dict[Path, ResumeError] = {}
    for path in reversed(checkpoints(run)):
        try:
            return load(path), damaged
        except ResumeError as error:
            damaged[path] = error
    return None, damaged


def latest(run: Path, *, set_aside: bool = False) -> dict[str, Any] | None:
    """The newest readable checkpoint of a run, or None in a fresh one; a damaged one is named and passed over.

    Args:
        run: the run's folder.
        set_aside: rename the damaged ones to ``*.damaged``, so that they no longer count among the newest.

    Raises:
        ResumeError: there are checkpoints, and none can be read.
    """
    found, damaged = newest(run)
    for error in damaged.values():
        print(f"warning: {error}", file=sys.stderr)
    if damaged and found is None:
        raise ResumeError(f"{run}: none of its {len(damaged)} checkpoints can be read; begin anew in another folder")
    if set_aside:
        for path in damaged:
            path.rename(path.with_suffix(".damaged"))
    return found


def load_encoder(run: Path | None, checkpoint: Path | None) -> tuple[SampleCNN | CpcFeatures, str]:
    """The trained encoder in evaluation mode, and the name of the file it came from.

    Args:
        run: a run folder, whose newest readable checkpoint is taken, or
        checkpoint: one file: a checkpoint, or weights that :func:`clmr.load_encoder` reads.

    Raises:
        ResumeError: there is none, or it does not fit the encoder of this version.
    """
    if (run is None) == (checkpoint is None):
        raise ResumeError("give a run folder or a checkpoint file, one of the two")
    if checkpoint is not None:
        return read_encoder(str(checkpoint)), str(checkpoint)
    assert run is not None
    state = latest(run)
    if state is None:
        raise ResumeError(f"{run} holds no checkpoint; pretrain there first (train/pretrain.py --run {run})")
    path = checkpoint_path(run, state["step"])
    if "system" in state["encoder_config"]:
        return load_features(state), str(path)
    try:
        encoder = SampleCNN(**state["encoder_config"])
        prefix = "encoder."
        encoder.load_state_dict(
            {name.removeprefix(prefix): value for name, value in state["model"].items() if name.startswith(prefix)}
        )
    except (TypeError, RuntimeError, ClmrError) as error:
        raise ResumeError(f"{path} does not fit this version's encoder ({str(error).splitlines()[0]})") from error
    return encoder.eval(), str(path)
