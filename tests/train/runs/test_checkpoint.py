"""Checkpoints load without running code, and say what is wrong when they do not load."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from clmr.errors import ResumeError
from train.runs.checkpoint import checkpoints, latest, load, load_encoder, save


class Trap:
    """Unpickling it runs a command."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    witness, path = tmp_path / "witness", tmp_path / "step-00000001.pt"
    torch.save({"step": 1, "model": Trap(witness), "encoder_config": {}}, path)
    with pytest.raises(ResumeError, match=r"step-00000001\.pt is damaged or not a checkpoint"):
        load(path)
    assert not witness.exists()
    path.write_bytes(pickle.dumps(Trap(witness), protocol=2))
    with pytest.raises(ResumeError):
        load(path)
    assert not witness.exists()


def test_a_failed_write_leaves_the_old_checkpoints(tmp_path: Path) -> None:
    save(tmp_path, 1, {"model": {}, "encoder_config": {}})
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save(tmp_path, 2, {"model": lambda: None, "encoder_config": {}})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001.pt"]


def test_latest_of_nothing_is_none(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    assert checkpoints(tmp_path) == []


def test_foreign_tensors_are_not_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ResumeError, match="not a checkpoint of"):
        load(tmp_path / "other.pt")


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 3, {"model": {}, "encoder_config": {"sample_rate": 8000, "width": 16}})
    with pytest.raises(ResumeError, match="does not fit"):
        load_encoder(tmp_path, None)
    with pytest.raises(ResumeError, match=r"step-00000003\.pt holds no weights"):
        load_encoder(None, path)
