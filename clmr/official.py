"""The authors' released weights, read in every published layout, and ours, written for the tools that read theirs.

The files are those of releases 1.0, 1.0-l, 2.0 and 2.1 of Spijkervet/CLMR; clmr/weights/layouts.py lists their keys.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from clmr.encoder import SampleCNN
from clmr.errors import ConfigError, ResumeError
from clmr.model import ContrastiveModel
from clmr.projector import Projector
from clmr.weights.building import build_encoder, build_head, build_projector
from clmr.weights.files import local, read_contents, write_whole
from clmr.weights.layouts import LAYOUTS, Parts, join, split
from clmr.weights.reading import read_named


@dataclass(frozen=True)
class OfficialWeights:
    """What a file of weights held; every module is float32, on the CPU, in evaluation mode."""

    encoder: SampleCNN
    projector: Projector | None
    """The projection head of pretraining, where the file has it."""
    head: nn.Sequential | None
    """The classifier, features ``[N, width]`` -> logits ``[N, classes]``, where there is one."""
    sample_rate: int
    """Hz, told by the encoder's kernels."""
    layout: str
    """``1.0``, ``2.0`` or ``2.1``; ``clmr`` for a checkpoint of train/pretrain.py."""


def load_official(path: str | Path, head: str | Path | None = None) -> OfficialWeights:
    """Read weights that the authors released, or any file in one of their layouts; no code in the file is run.

    Also reads checkpoints of train/pretrain.py and safetensors files with the same keys.

    Args:
        path: a .pt, .ckpt or .safetensors file, or a zip of such files as in the releases. Of several files in a zip,
            the one with a projector gives the encoder, and another one may give the head.
        head: the file of a classifier trained on these features, as in the releases 1.0-l and 2.0.

    Raises:
        ResumeError: the file is missing, damaged or unsafe, a key is missing or unexpected, a shape is wrong, or a
            weight is not finite.
    """
    parts = _parts(path)
    source = _one(parts, "encoder", path)
    classifier = _one(_parts(head), "head", head) if head is not None else _head_beside(parts, path)
    encoder = build_encoder(source.encoder, source.source)
    width = encoder.width
    return OfficialWeights(
        encoder,
        build_projector(source.projector, width, source.source) if source.projector else None,
        build_head(classifier.head, width, classifier.source) if classifier else None,
        encoder.sample_rate,
        source.layout,
    )


def save_official(model: SampleCNN | ContrastiveModel, path: str | Path, layout: str = "2.0") -> None:
    """Write an encoder, and the projector of a whole model, under the keys of one of the authors' releases.

    The same weights give the same bytes. Their code takes width 512 only, and at rates other than 22.05 kHz has to be
    told the strides.

    Args:
        model: the encoder, or encoder and projector.
        path: the file, a .pt by custom (.ckpt for 2.1).
        layout: ``1.0``, ``2.0`` or ``2.1``.

    Raises:
        ConfigError: another layout, or a projector that is not a :class:`clmr.Projector`.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout}")
    state = join(*tensors_of(model), layout)
    # Through memory: the archive would be named after the file, and torch turns a full disk into an internal error.
    content = io.BytesIO()
    torch.save(state, content)
    write_whole(Path(path), content.getvalue())


def tensors_of(model: SampleCNN | ContrastiveModel) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The encoder's and the projector's tensors, each with a storage of its own; float32."""
    projector: nn.Module | None = None
    encoder: nn.Module = model
    if isinstance(model, ContrastiveModel):
        encoder, projector = model.encoder, model.projector
        if not isinstance(projector, Projector):
            raise ConfigError(f"the projector must be a clmr.Projector, got {type(projector).__name__}")
    return _own(encoder), _own(projector) if projector is not None else {}


def _own(module: nn.Module) -> dict[str, Tensor]:
    def own(value: Tensor) -> Tensor:
        value = value.detach().cpu()
        return value.to(torch.float32 if value.is_floating_point() else value.dtype).contiguous().clone()

    return {name: own(value) for name, value in module.state_dict().items()}


def _parts(path: str | Path) -> list[Parts]:
    return [split(read_named(content)) for content in read_contents(local(path))]


def _one(parts: list[Parts], wanted: str, path: str | Path) -> Parts:
    """The one file that holds what is wanted; of several encoders, that of pretraining."""
    found = [part for part in parts if (part.encoder if wanted == "encoder" else part.head)]
    if wanted == "encoder" and len(found) > 1:
        found = [part for part in found if part.projector]
    if len(found) == 1:
        return found[0]
    if found:
        raise ResumeError(f"{path} holds several: {', '.join(part.source for part in found)}; unpack it and give one")
    first = [next(iter({**part.head, **part.encoder, **part.projector}), "nothing") for part in parts]
    there = ", ".join(f"{part.source} begins with {name}" for part, name in zip(parts, first, strict=True))
    hint = "; give an encoder's file, and this one as head=" if wanted == "encoder" else ""
    raise ResumeError(f"{path} holds no {wanted}: {there}{hint}")


def _head_beside(parts: list[Parts], path: str | Path) -> Parts | None:
    return _one(parts, "head", path) if any(part.head for part in parts) else None
