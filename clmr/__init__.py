"""Contrastive learning of musical representations: encoder, projector, loss, augmentations and metrics.

The public names below are loaded on first use, so that ``import clmr.errors`` does not pay for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clmr import augment
    from clmr.encoder import SampleCNN, crop_frames
    from clmr.export import export_onnx, export_safetensors
    from clmr.loading import load_encoder
    from clmr.loss import contrastive_output, nt_xent_loss
    from clmr.model import ContrastiveModel
    from clmr.official import OfficialWeights, load_official, save_official
    from clmr.projector import Projector

__all__ = [
    "ContrastiveModel",
    "OfficialWeights",
    "Projector",
    "SampleCNN",
    "augment",
    "contrastive_output",
    "crop_frames",
    "export_onnx",
    "export_safetensors",
    "load_encoder",
    "load_official",
    "nt_xent_loss",
    "save_official",
]

_MODULES = {
    "ContrastiveModel": "clmr.model",
    "OfficialWeights": "clmr.official",
    "Projector": "clmr.projector",
    "SampleCNN": "clmr.encoder",
    "contrastive_output": "clmr.loss",
    "crop_frames": "clmr.encoder",
    "export_onnx": "clmr.export",
    "export_safetensors": "clmr.export",
    "load_encoder": "clmr.loading",
    "load_official": "clmr.official",
    "nt_xent_loss": "clmr.loss",
    "save_official": "clmr.official",
}


def __getattr__(name: str) -> Any:
    if name == "augment":
        return import_module("clmr.augment")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'clmr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
