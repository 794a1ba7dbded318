"""Files that are damaged, unsafe or do not fit are refused in one line that names the file."""

from __future__ import annotations

import os
import pickle
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import clmr
from clmr.errors import ResumeError
from clmr.official import load_official
from tests.clmr.released import LightningSimCLR, lightning, packed, simclr


class Trap:
    """Unpickling it runs a command, by a function of the given module."""

    def __init__(self, function: Callable[..., object], argument: object) -> None:
        self.called = function, (argument,)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.called


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    witness, path = tmp_path / "witness", tmp_path / "trap.ckpt"
    state = lightning(LightningSimCLR(simclr(2, 8000)))
    shell, python = Trap(os.system, f"touch {witness}"), Trap(exec, f"open({str(witness)!r}, 'w')")
    torch.save(state | {"hyper_parameters": shell}, path)
    with pytest.raises(ResumeError, match=r"trap\.ckpt cannot be read without running code from it"):
        load_official(path)
    torch.save(state | {"state_dict": python}, path)
    with pytest.raises(ResumeError, match="holds no weights by name"):
        load_official(path)
    torch.save(state | {"hyper_parameters": python}, path)
    assert load_official(path).layout == "2.1"  # what stands beside the weights is not built
    for trap in (shell, python):
        path.write_bytes(pickle.dumps(trap, protocol=2))
        with pytest.raises(ResumeError):
            load_official(path)
    assert not witness.exists()


def wrong(state: dict[str, Tensor]) -> list[tuple[Mapping[str, object], str]]:
    first = "encoder.sequential.0.0.weight"
    middle = "encoder.sequential.5.0.weight"
    nan = state[middle].clone()
    nan[0, 0, 0] = torch.nan
    return [
        ({key: value for key, value in state.items() if key != middle}, r"sequential\.5\.0\.weight is missing"),
        (
            {key: value for key, value in state.items() if "5.1.bias" not in key},
            r"sequential\.5\.1\.bias is missing \(1 m",
        ),
        (
            state | {"encoder.sequential.11.0.bias": torch.zeros(1)},
            r"sequential\.11\.0\.bias is unexpected \(0 missing, 1 ",
        ),
        (
            state | {first: torch.zeros(5, 1, 3)},
            r"sequential\.0\.0\.weight has shape \[5, 1, 3\], expected \[4, 1, 3\]",
        ),
        (state | {first: torch.zeros(4, 1, 3, dtype=torch.int64)}, r"has dtype torch\.int64, expected torch\.float32"),
        (state | {middle: torch.zeros(8, 8)}, r"5\.0\.weight has shape \[8, 8\], not 3 dimensions"),
        (
            state | {middle: torch.zeros(8, 8, 7)},
            r"no encoder has the kernels \[3, 3, 3, 2, 7, 4, 4, 2, 2\]; known are",
        ),
        (state | {middle: nan}, r"sequential\.5\.0\.weight holds values that are not finite"),
        (state | {"encoder.sequential.3.1.running_var": torch.full([8], -1.0)}, "negative variances"),
        (state | {"encoder.sequential.10.0.weight": torch.zeros(18, 16, 3)}, "width must be a multiple of 4"),
        (state | {"projector.2.weight": torch.zeros(12, 15)}, r"projector 2\.weight has shape \[12, 15\]"),
        (state | {"projector.4.weight": torch.zeros(12, 15)}, r"a whole projector: 4\.weight is unexpected"),
        (state | {"0.weight": torch.zeros(5, 17), "0.bias": torch.zeros(5)}, r"head 0\.weight has shape \[5, 17\]"),
        (
            state | {"classifier": torch.zeros(5, 17)},
            r"a whole head: 0\.weight is missing; its first key is classifier",
        ),
        ({"weights": [1, 2]}, "its entry weights is a list; it must hold the state dict of a model"),
        ({}, "holds no weights by name"),
    ]


def test_what_is_wrong_is_said_in_one_line_with_the_file(tmp_path: Path) -> None:
    for number, (state, said) in enumerate(wrong(simclr(2, 8000).state_dict())):
        path = tmp_path / f"{number}.pt"
        torch.save(dict(state), path)
        with pytest.raises(ResumeError, match=said) as caught:
            load_official(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(simclr(2, 8000).state_dict(), path)
    whole = path.read_bytes()
    for data, said in (
        (whole[: len(whole) // 2], "damaged or not a file of weights"),
        (whole.replace(whole[2000:2064], bytes(64)), "damaged"),
        (b"", "damaged or not a file of weights"),
        (b"<!DOCTYPE html>", "damaged or not a file of weights"),
        (packed({"notes.txt": b"nothing"}), r"a zip without weights: it holds no file that ends in \.pt"),
        (packed({"a.pt": b"nothing"}), r"weights\.pt:a\.pt is damaged or not a file of weights"),
        (packed(dict.fromkeys(("a.pt", "b.pt"), simclr(2, 8000).state_dict())), r"several: .*:a\.pt, .*:b\.pt"),
        (struct.pack("<Q", 20) + b'{"a": {"dtype": 3}} ', "damaged or not a safetensors file"),
    ):
        path.write_bytes(data)
        with pytest.raises(ResumeError, match=said):
            load_official(path)
    asset = bytearray(packed({"weights.pt": whole}))
    asset[len(asset) // 2] ^= 255
    path.write_bytes(asset)
    with pytest.raises(ResumeError, match=r"weights\.pt:weights\.pt cannot be unpacked"):
        load_official(path)
    with pytest.raises(ResumeError, match="is not a file"):
        load_official(tmp_path / "missing.pt")


def test_changed_bytes_cause_no_other_error(tmp_path: Path) -> None:
    """Old files of torch and safetensors carry no sums; the beginnings of both say how to read the rest."""
    encoder, path = clmr.SampleCNN(8000, 16), tmp_path / "weights"
    clmr.export_safetensors(encoder, tmp_path / "flat")
    torch.save(encoder.state_dict(), tmp_path / "old", _use_new_zipfile_serialization=False)
    draw, refused = random.Random(0), 0  # noqa: S311 - no secret
    for name in ("flat", "old"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(draw.randint(1, 4)):
                data[draw.randrange(4000)] = draw.randrange(256)
            path.write_bytes(data)
            try:
                load_official(path)
            except ResumeError:
                refused += 1
    assert refused > 60
