"""``train/export.py`` writes what its file name says, and one line when it cannot."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from click.testing import CliRunner

import clmr
from train.export import main
from train.runs.checkpoint import checkpoint_path, save


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = clmr.ContrastiveModel(clmr.SampleCNN(8000, 16), clmr.Projector(16, out=12))
    state = {"model": model.state_dict(), "encoder_config": {"sample_rate": 8000, "width": 16}}
    save(tmp_path / "run", 5, state)
    return tmp_path / "run"


def export(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_every_format(run: Path, tmp_path: Path) -> None:
    for name in ("weights.pt", "weights.safetensors", "encoder.onnx"):
        out = tmp_path / "new" / name
        status, said = export("--run", run, "--out", out)
        assert (status, said.split(":")[1].split(",")[0]) == (0, " 16 features at 8000 Hz")
        if out.suffix == ".onnx":
            onnx.checker.check_model(str(out))
            continue
        got, expected = clmr.load_official(out), clmr.load_official(checkpoint_path(run, 5))
        assert got.projector is not None
        assert expected.projector is not None
        for a, b in ((got.encoder, expected.encoder), (got.projector, expected.projector)):
            assert all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items())


def test_from_the_authors_layout_to_another(run: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    assert export("--run", run, "--out", first, "--layout", "1.0")[0] == 0
    assert clmr.load_official(first).layout == "1.0"
    assert export("--checkpoint", first, "--out", second)[0] == 0
    assert clmr.load_official(second).layout == "2.0"


def test_a_damaged_newest_checkpoint_is_named(run: Path, tmp_path: Path) -> None:
    checkpoint_path(run, 6).write_bytes(b"")
    status, output = export("--run", run, "--out", tmp_path / "weights.pt")
    assert status == 0
    assert [line.split(": ")[0] for line in output.splitlines()] == ["warning", str(tmp_path / "weights.pt")]
    assert "step-00000006.pt is damaged" in output


def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    file = checkpoint_path(run, 5)
    for arguments, said in (
        (("--out", "x.pt"), "give --run or --checkpoint, one of the two"),
        (("--run", run, "--checkpoint", file, "--out", "x.pt"), "give --run or --checkpoint, one of the two"),
        (("--run", run, "--out", tmp_path / "x.bin"), "must end in .pt, .onnx, .safetensors"),
        (("--run", tmp_path / "none", "--out", tmp_path / "x.pt"), "is not a folder"),
        (("--run", tmp_path, "--out", tmp_path / "x.pt"), "holds no checkpoints"),
        (("--checkpoint", tmp_path / "none.pt", "--out", tmp_path / "x.pt"), "is not a file"),
    ):
        status, output = export(*arguments)
        assert status == 1
        assert output.startswith("error: ")
        assert output.count("\n") == 1
        assert said in output
    assert not list(tmp_path.glob("x.*"))
