"""What the exported encoder computes elsewhere: in onnxruntime, and from safetensors read by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import clmr
from clmr.errors import ConfigError, ResumeError
from clmr.weights.flat import decode
from tests.clmr.plain import KERNELS, plain_sample_cnn
from tests.clmr.released import scrambled

WIDTH = 16
RUNTIME = 1e-5  # of the largest feature: eleven float32 layers summed in another order, the normalisation folded in


def run(path: Path, audio: Tensor) -> Tensor:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["representation"], {"audio": audio.numpy()})[0])


@pytest.mark.parametrize("sample_rate", KERNELS)
def test_onnxruntime_computes_the_features_of_any_batch(sample_rate: int, tmp_path: Path) -> None:
    encoder = scrambled(clmr.SampleCNN(sample_rate, WIDTH))
    plain = plain_sample_cnn(sample_rate, WIDTH).eval()
    plain.load_state_dict(encoder.sequential.state_dict())
    path = tmp_path / "encoder.onnx"
    clmr.export_onnx(encoder, path)
    torch.manual_seed(3)
    for rows in (1, 3, 7):
        audio = torch.rand(rows, 1, clmr.crop_frames(sample_rate)) * 2 - 1
        with torch.inference_mode():
            ours, textbook = encoder(audio), plain(audio).flatten(1)
        got = run(path, audio)
        for expected in (ours, textbook):
            assert got.shape == expected.shape
            assert (got - expected).abs().max() <= RUNTIME * expected.abs().max()
        assert got.count_nonzero() > 0


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    clmr.export_onnx(clmr.SampleCNN(16000, WIDTH), tmp_path / "encoder.onnx")
    model = onnx.load(tmp_path / "encoder.onnx")
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 13)]
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "sample_rate": "16000",
        "crop_frames": "43740",
        "width": "16",
    }
    sizes = [
        [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert sizes == [["batch", 1, 43740], ["batch", 16]]


def test_training_mode_and_float64_make_no_difference(tmp_path: Path) -> None:
    encoder = scrambled(clmr.SampleCNN(8000, WIDTH))
    clmr.export_onnx(encoder, tmp_path / "a.onnx")
    encoder.train().double()
    clmr.export_onnx(encoder, tmp_path / "b.onnx")
    assert encoder.training
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    encoder = clmr.SampleCNN(8000, WIDTH)
    nn.init.constant_(encoder.get_parameter("sequential.3.0.bias"), torch.inf)
    with pytest.raises(
        ResumeError, match=r"the model: encoder sequential\.3\.0\.bias holds values that are not finite"
    ):
        clmr.export_onnx(encoder, tmp_path / "encoder.onnx")
    assert not any(tmp_path.iterdir())


def test_onnx_is_needed_for_onnx_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "clmr.export")
    clmr.export_safetensors(clmr.SampleCNN(8000, WIDTH), tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[export\]'"):
        clmr.export_onnx(clmr.SampleCNN(8000, WIDTH), tmp_path / "encoder.onnx")


def by_hand(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """The tensors and the metadata of a safetensors file, as its specification says to read it."""
    data = path.read_bytes()
    start = 8 + int(np.frombuffer(data[:8], "<u8")[0])
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    tensors, used = {}, []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        used += [(begin, end)]
        dtype = {"F32": "<f4", "I64": "<i8"}[entry["dtype"]]
        tensors[name] = np.frombuffer(data[start + begin : start + end], dtype).reshape(entry["shape"])
    used.sort()
    assert start % 8 == 0
    assert [begin for begin, _ in used] == [0, *(end for _, end in used[:-1])], "no gaps, no overlaps"
    assert used[-1][1] == len(data) - start
    return tensors, metadata


def test_safetensors_hold_every_weight(tmp_path: Path) -> None:
    model = clmr.ContrastiveModel(scrambled(clmr.SampleCNN(8000, WIDTH)), clmr.Projector(WIDTH, out=12))
    clmr.export_safetensors(model, tmp_path / "weights.safetensors")
    tensors, metadata = by_hand(tmp_path / "weights.safetensors")
    assert metadata == {"sample_rate": "8000", "crop_frames": "20736", "width": "16"}
    assert set(tensors) == set(model.state_dict())
    for name, value in model.state_dict().items():
        assert np.array_equal(tensors[name], value.numpy())
    got = clmr.load_official(tmp_path / "weights.safetensors")
    assert got.projector is not None
    for part, expected in ((got.encoder, model.encoder), (got.projector, model.projector)):
        for name, value in expected.state_dict().items():
            assert torch.equal(part.state_dict()[name], value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 9]}, "does not fit"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}, "does not fit"),
        ({"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]}, "does not fit"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0]}, "malformed"),
        ({"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}, "unknown dtype"),
        ([1], "malformed"),
    ],
)
def test_safetensors_headers_are_checked(entry: object, said: str) -> None:
    header = json.dumps({"a": entry}).encode()
    with pytest.raises(ValueError, match=said):
        decode(len(header).to_bytes(8, "little") + header + bytes(8))
