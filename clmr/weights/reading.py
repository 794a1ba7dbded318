"""Named tensors out of a file's bytes, whatever wrote it, without running anything the file says.

Beside the tensors, checkpoints of PyTorch Lightning hold pickled settings and callbacks: ``argparse.Namespace``, its
own classes, numpy scalars. ``torch.load(weights_only=True)`` refuses them by default. Here it gets a class that does
nothing in their place, so Lightning is not needed, and neither its code nor the file's is run.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from clmr.errors import ResumeError
from clmr.weights import flat
from clmr.weights.files import Content, check_expansion

LIGHTNING = "pytorch-lightning_version"
OURS = {"step", "model", "encoder_config"}  # of a checkpoint of train/pretrain.py


class OtherSystemError(ResumeError):
    """The weights are whole, and those of CPC: no SampleCNN can be made of them."""


class Named(NamedTuple):
    """The tensors of one file of weights."""

    source: str
    """The file, for messages."""
    writer: str
    """``clmr`` (train/pretrain.py), ``lightning`` or ``plain``."""
    tensors: dict[str, Tensor]


class Inert:
    """Stands for whatever class or function a checkpoint names; made from anything, it keeps nothing."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        """Made from any arguments."""
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_named(content: Content) -> Named:
    """The named tensors of one file, on the CPU.

    Raises:
        ResumeError: the file is damaged, is not one of weights, or cannot be read without running code.
        OtherSystemError: it is a checkpoint of train/cpc.py.
    """
    source, data = content
    if flat.looks_flat(data):
        try:
            return Named(source, "plain", flat.decode(data))
        except (ValueError, TypeError, RuntimeError) as error:  # a header nested too deep, a size beyond torch's
            raise ResumeError(f"{source} is damaged or not a safetensors file: {error}") from error
    state = _load(source, data)
    writer = "plain"
    if isinstance(state, dict) and set(state) >= OURS:
        if isinstance(state["encoder_config"], dict) and "system" in state["encoder_config"]:
            raise OtherSystemError(
                f"{source} is a checkpoint of train/cpc.py, which has no SampleCNN: embed it with train/embed.py, or "
                "give clmr.cpc.load_features what train.runs.checkpoint.load reads"
            )
        state, writer = state["model"], "clmr"
    elif isinstance(state, dict) and LIGHTNING in state and "state_dict" in state:
        state, writer = state["state_dict"], "lightning"
    if not isinstance(state, dict) or not state:
        raise ResumeError(f"{source} holds no weights by name; it must hold the state dict of a model")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or not _in_memory(value):
            raise ResumeError(
                f"{source} holds no weights by name: its entry {str(name)[:80]} is a {type(value).__name__}"
                f"{' without the numbers it should have' if isinstance(value, Tensor) else ''}; "
                "it must hold the state dict of a model"
            )
    return Named(source, writer, dict(state))


def _in_memory(tensor: Tensor) -> bool:
    """Whether all of a tensor's numbers are there; its sizes could say anything otherwise."""
    if tensor.is_nested or tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def _load(source: str, data: bytes) -> Any:
    """Unpickle tensors, plain values, and inert objects in the place of all others."""
    try:
        damaged, foreign = _looked_at(source, data)
        # Lightning's AttributeDict is a dict, and the unpickler fills exact dicts only.
        stand_ins = [(OrderedDict if name.endswith(".AttributeDict") else Inert, name) for name in foreign]
        if damaged is None:
            with safe_globals([*stand_ins]):
                return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except ResumeError:
        raise
    except Exception as error:  # whatever the bytes of a file that holds no weights provoke in zipfile or torch
        unsafe = "GLOBAL" in str(error) or "SETITEM" in str(error)  # torch's words for what it will not do
        why = (
            "cannot be read without running code from it; where you trust it, save its state dict alone"
            if unsafe
            else "is damaged or not a file of weights"
        )
        raise ResumeError(f"{source} {why} ({type(error).__name__})") from error
    raise ResumeError(f"{source} is damaged: the sum of its part {damaged} is wrong; fetch the file again")


def _looked_at(source: str, data: bytes) -> tuple[str | None, list[str]]:
    """The damaged part of a file of torch, if any, and the classes and functions it names that torch does not trust."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None, []  # written before torch 1.6, or no file of torch: its own loader finds out
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_expansion(source, archive, len(data))
        damaged = archive.testzip()  # torch does not check the sums that its own archives carry
    return damaged, [] if damaged else get_unsafe_globals_in_checkpoint(io.BytesIO(data))
