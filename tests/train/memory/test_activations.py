"""The bytes that the table of layers promises are those that autograd keeps, to the last one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clmr import ContrastiveModel, Projector, SampleCNN
from train.memory.activations import EXACT, kept, parameters


def measured(encoder: SampleCNN, crops: int, precision: str) -> int:
    """Bytes kept for the backward pass of so many crops, but for weights, statistics and the crops themselves."""
    audio = torch.randn(crops, 1, encoder.crop_frames, dtype=next(encoder.parameters()).dtype)
    known = {each.untyped_storage().data_ptr() for each in (audio, *encoder.parameters(), *encoder.buffers())}
    held: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            held[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address comes twice
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
    ):
        encoder(audio)
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("precision", ["float32", "bf16", "float64"])
@pytest.mark.parametrize(("sample_rate", "width"), [(22050, 16), (16000, 32), (8000, 64)])
def test_what_a_view_keeps(sample_rate: int, width: int, precision: str, fused: bool) -> None:
    encoder = SampleCNN(sample_rate, width).to(torch.float64 if EXACT[precision] == 8 else torch.float32)
    encoder.fused = fused
    # The difference of two batches, because weights and statistics are kept once.
    of_a_view = (measured(encoder, 5, precision) - measured(encoder, 2, precision)) / 3
    assert of_a_view == kept(sample_rate, width, precision, fused=fused)


@pytest.mark.parametrize(("sample_rate", "width", "projection"), [(22050, 512, 128), (16000, 64, 8), (8000, 16, 32)])
def test_the_number_of_parameters(sample_rate: int, width: int, projection: int) -> None:
    model = ContrastiveModel(SampleCNN(sample_rate, width), Projector(width, out=projection))
    assert parameters(sample_rate, width, projection) == sum(each.numel() for each in model.parameters())
