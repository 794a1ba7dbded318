"""The key layouts of the authors' released weights, to and from one set of names.

    release   file                          keys
    1.0       clmr_checkpoint_1550.pt       encoder.conv1.0.weight ..., projector.0.weight, projector.2.weight
    2.0       clmr_checkpoint_10000.zip     encoder.sequential.0.0.weight ..., projector.0.weight, projector.2.weight
    2.1       clmr_magnatagatune_mlp.zip    Lightning: model.encoder.sequential.0.0.weight ... and the same weights
                                            again as encoder.*, model.projector.*; the head's file beside it
    heads     finetuner_checkpoint_*        0.weight, 0.bias (2.weight, 2.bias), or the same behind model.

Here the encoder's keys are those of ``SampleCNN``, ``sequential.{0..10}.{0,1}.*``, and those of projector and head
begin with the layer's number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from clmr.weights.reading import LIGHTNING, Named

LAYOUTS = ("1.0", "2.0", "2.1")
CONV = re.compile(r"conv([1-9][0-9]*)\.(.+)")  # layers of release 1.0, counted from 1
ENCODER = re.compile(r"(?:model\.)?encoder\.(.+)|((?:sequential|conv[1-9][0-9]*|fc)\..+)")
PROJECTOR = re.compile(r"(?:model\.)?projector\.(.+)")


class Parts(NamedTuple):
    """The tensors of one file by what they belong to; a part that the file lacks is empty."""

    source: str
    layout: str
    """``1.0``, ``2.0``, ``2.1``, or ``clmr`` for a checkpoint of train/pretrain.py."""
    encoder: dict[str, Tensor]
    projector: dict[str, Tensor]
    head: dict[str, Tensor]


def split(named: Named) -> Parts:
    """Sort a file's tensors into encoder, projector and head, under one set of names."""
    layout = {"clmr": "clmr", "lightning": "2.1", "plain": "2.0"}[named.writer]
    parts = Parts(named.source, layout, {}, {}, {})
    for key, value in named.tensors.items():
        if key.startswith("model.") and f"encoder.{key.removeprefix('model.')}" in named.tensors:
            continue  # Lightning's supervised model holds its encoder under both names
        if match := ENCODER.fullmatch(key):
            name = match[1] or match[2]
            if conv := CONV.fullmatch(name):
                name = f"sequential.{int(conv[1]) - 1}.{conv[2]}"
                parts = parts._replace(layout="1.0")
            if name.startswith("fc."):  # the linear layer of a supervised encoder
                parts.head[f"0.{name.removeprefix('fc.')}"] = value
            else:
                parts.encoder[name] = value
        elif match := PROJECTOR.fullmatch(key):
            parts.projector[match[1]] = value
        else:
            parts.head[key.removeprefix("model.")] = value
    return parts


def join(encoder: dict[str, Tensor], projector: dict[str, Tensor], layout: str) -> Mapping[str, object]:
    """What a file of one of the ``LAYOUTS`` holds; the inverse of :func:`split`."""
    plain = {f"projector.{name}": value for name, value in projector.items()}
    if layout == "1.0":
        return {f"encoder.{_counted_from_one(name)}": value for name, value in encoder.items()} | plain
    plain = {f"encoder.{name}": value for name, value in encoder.items()} | plain
    if layout == "2.0":
        return plain
    twice = {name: value for name, value in plain.items() if name.startswith("encoder.")}
    behind_model = {f"model.{name}": value for name, value in plain.items()}
    return {"epoch": 0, "global_step": 0, LIGHTNING: "1.2.0", "state_dict": twice | behind_model}


def _counted_from_one(name: str) -> str:
    """``sequential.0.0.weight`` -> ``conv1.0.weight``."""
    _, layer, rest = name.split(".", 2)
    return f"conv{int(layer) + 1}.{rest}"
