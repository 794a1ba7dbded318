"""The encoder for programs without this package: ONNX for any runtime, safetensors for any framework.

The ONNX graph is written node by node rather than traced: eleven convolutions with their batch normalisation folded in,
ReLU and pooling. So the same weights give the same bytes, and the batch axis is free by construction.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from clmr.encoder import POOLS, Block, SampleCNN
from clmr.errors import ConfigError
from clmr.model import ContrastiveModel
from clmr.official import tensors_of
from clmr.weights.building import filled
from clmr.weights.files import write_whole
from clmr.weights.flat import encode

OPSET = 13  # of 2020; every runtime in use reads it, and the graph needs nothing newer
IR_VERSION = 7  # the file format that came with it
INPUT, OUTPUT = "audio", "representation"  # the names in the authors' export


def export_onnx(encoder: SampleCNN, path: str | Path) -> None:
    """Write the encoder in evaluation mode as an ONNX file, opset 13, float32.

    Input ``audio``, ``[batch, 1, crop_frames]`` in +-1; output ``representation``, ``[batch, width]``; any batch >= 1.
    The file's metadata state ``sample_rate``, ``crop_frames`` and ``width``. Nothing is left of training mode, whatever
    mode the encoder is in.

    Raises:
        ConfigError: the package ``onnx`` is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise ConfigError("ONNX export needs the package onnx; install it: pip install -e '.[export]'") from error

    encoder = _copy(encoder)
    nodes, constants, x = [], [], INPUT
    for layer, pool in enumerate((1, *POOLS[encoder.sample_rate], 1)):
        weight, bias = _folded(encoder, layer)
        names = [f"weight{layer}", f"bias{layer}"]
        constants += [numpy_helper.from_array(w.numpy(), name) for w, name in zip((weight, bias), names, strict=True)]
        stride, padding = (3, 0) if layer == 0 else (1, 1)
        kernel = weight.shape[2]
        nodes.append(
            helper.make_node(
                "Conv", [x, *names], [f"conv{layer}"], kernel_shape=[kernel], strides=[stride], pads=[padding, padding]
            )
        )
        nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]))
        x = f"relu{layer}"
        if pool > 1:
            nodes.append(helper.make_node("MaxPool", [x], [f"pool{layer}"], kernel_shape=[pool], strides=[pool]))
            x = f"pool{layer}"
    nodes.append(helper.make_node("Flatten", [x], [OUTPUT], axis=1))
    graph = helper.make_graph(
        nodes,
        "SampleCNN",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 1, encoder.crop_frames])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", encoder.width])],
        constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, producer_name="clmr", opset_imports=opset, ir_version=IR_VERSION)
    helper.set_model_props(model, _described(encoder))
    checker.check_model(model, full_check=True)
    write_whole(Path(path), model.SerializeToString(deterministic=True))


def export_safetensors(model: SampleCNN | ContrastiveModel, path: str | Path) -> None:
    """Write the weights as safetensors under the keys of release 2.0; :func:`clmr.load_encoder` reads it back.

    The file's metadata state ``sample_rate``, ``crop_frames`` and ``width``.
    """
    encoder, projector = tensors_of(model)
    named = {f"encoder.{name}": value for name, value in encoder.items()}
    named |= {f"projector.{name}": value for name, value in projector.items()}
    of = model.encoder if isinstance(model, ContrastiveModel) else model
    write_whole(Path(path), encode(named, _described(of)))


def _copy(encoder: SampleCNN) -> SampleCNN:
    """The same encoder on the CPU; refuses weights that are not finite."""
    tensors = tensors_of(encoder)[0]
    return filled(lambda: SampleCNN(encoder.sample_rate, encoder.width), tensors, "encoder", "the model")


@torch.no_grad()
def _folded(encoder: SampleCNN, layer: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution with the normalisation after it, computed in float64, float32."""
    block = encoder.sequential[layer]
    assert isinstance(block, Block)
    # s (w * x + b) + t = (s w) * x + (s b + t)
    scale, shift = block.norm.fold()
    weight, bias = block.conv.weight * scale[:, None, None], block.bias * scale + shift
    return weight.float().contiguous(), bias.float().contiguous()


def _described(encoder: SampleCNN) -> dict[str, str]:
    values = {"sample_rate": encoder.sample_rate, "crop_frames": encoder.crop_frames, "width": encoder.width}
    return {name: str(value) for name, value in values.items()}
