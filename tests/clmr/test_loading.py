"""``clmr.load_encoder`` takes a run, a checkpoint, or anybody's weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import clmr
from clmr.errors import ResumeError
from tests.clmr.released import packed, scrambled
from train.runs.checkpoint import checkpoint_path, checkpoints, save
from train.runs.checkpoint import load_encoder as load_as_train

WIDTH = 16


def model(seed: int) -> clmr.ContrastiveModel:
    torch.manual_seed(seed)
    return clmr.ContrastiveModel(clmr.SampleCNN(8000, WIDTH), clmr.Projector(WIDTH, out=12))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Steps 1 and 2, as the trainer saves them."""
    config = {"sample_rate": 8000, "width": WIDTH}
    for step in (1, 2):
        state = {"model": model(step).state_dict(), "optimizer": {"state": {}}, "encoder_config": config}
        save(tmp_path / "run", step, state | {"rng": torch.get_rng_state()})
    return tmp_path / "run"


def is_step(encoder: torch.nn.Module, step: int) -> bool:
    expected = model(step).encoder.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in encoder.state_dict().items())


def test_a_run_gives_its_newest_checkpoint(run: Path) -> None:
    (run / "checkpoints" / "step-99999999.pt.old").write_bytes(b"the user's own")
    encoder = clmr.load_encoder(run)
    assert is_step(encoder, 2)
    assert not encoder.training
    assert is_step(load_as_train(run, None)[0], 2)


def test_a_checkpoint_of_a_run(run: Path) -> None:
    assert is_step(clmr.load_encoder(str(checkpoint_path(run, 1))), 1)
    got = clmr.load_official(checkpoint_path(run, 1))
    assert (got.layout, got.sample_rate) == ("clmr", 8000)
    assert got.projector is not None
    assert torch.equal(got.projector.get_parameter("2.weight"), model(1).projector.get_parameter("2.weight"))


def test_a_damaged_checkpoint_is_named_and_passed_over(run: Path) -> None:
    newest = checkpoint_path(run, 2)
    newest.write_bytes(newest.read_bytes()[:-1000])
    with pytest.warns(
        UserWarning, match=r"step-00000002\.pt is damaged .*; the checkpoint before it is taken"
    ) as caught:
        assert is_step(clmr.load_encoder(run), 1)
    assert [Path(warning.filename).name for warning in caught] == ["test_loading.py"]
    checkpoint_path(run, 1).write_bytes(b"")
    nothing = pytest.raises(ResumeError, match="none of its 2 checkpoints can be read")
    with pytest.warns(UserWarning, match=r"step-0000000[12]\.pt"), nothing:
        clmr.load_encoder(run)
    assert len(checkpoints(run)) == 2


def test_every_other_format(tmp_path: Path) -> None:
    encoder = scrambled(clmr.SampleCNN(8000, WIDTH))
    for layout in ("1.0", "2.0", "2.1"):
        clmr.save_official(encoder, tmp_path / f"{layout}.pt", layout)
    clmr.export_safetensors(encoder, tmp_path / "weights.safetensors")
    flat = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "asset.zip").write_bytes(packed({"a/weights.safetensors": flat}))
    torch.save(encoder.state_dict(), tmp_path / "bare.pt")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 6
    audio = torch.rand(2, 1, encoder.crop_frames)
    for path in paths:
        assert torch.equal(clmr.load_encoder(path)(audio), encoder(audio))


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"holds no checkpoints/step-\*\.pt; give a run"):
        clmr.load_encoder(tmp_path)
    with pytest.raises(ResumeError, match="absent is not a file"):
        clmr.load_encoder(tmp_path / "absent")
