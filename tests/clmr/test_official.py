"""The authors' weights, in every layout, give the authors' outputs; what is wrong with a file is said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import clmr
from clmr.errors import ConfigError, ResumeError
from clmr.official import load_official, save_official
from tests.clmr.plain import KERNELS
from tests.clmr.released import (
    WIDTH,
    LightningHead,
    LightningSimCLR,
    SecondEncoder,
    lightning,
    linear_head,
    mlp_head,
    packed,
    scrambled,
    simclr,
)

NETWORK = 1e-5  # eleven float32 layers, their normalisation folded in on one side only


def crops(sample_rate: int, rows: int = 2) -> Tensor:
    torch.manual_seed(2)
    return torch.rand(rows, 1, clmr.crop_frames(sample_rate)) * 2 - 1


def assert_same(module: nn.Module | None, expected: nn.Module, x: Tensor) -> None:
    assert module is not None
    assert not module.training
    with torch.inference_mode():
        got, wanted = module(x), expected(x)
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= NETWORK * wanted.abs().max()


@pytest.mark.parametrize("sample_rate", KERNELS)
@pytest.mark.parametrize("layout", ["1.0", "2.0", "2.1"])
def test_every_layout_gives_the_authors_outputs(layout: str, sample_rate: int, tmp_path: Path) -> None:
    model = simclr(1 if layout == "1.0" else 2, sample_rate)
    path = tmp_path / "weights"
    torch.save(lightning(LightningSimCLR(model)) if layout == "2.1" else model.state_dict(), path)
    got = load_official(path)
    assert (got.layout, got.sample_rate, got.encoder.width, got.head) == (layout, sample_rate, WIDTH, None)
    audio = crops(sample_rate)
    assert_same(got.encoder, model.encoder, audio)
    assert_same(got.projector, model.projector, torch.rand(3, WIDTH))


def test_a_file_from_before_torch_1_6(tmp_path: Path) -> None:
    model = simclr(1, 8000)
    torch.save(model.state_dict(), tmp_path / "old.tar", _use_new_zipfile_serialization=False)
    assert_same(load_official(tmp_path / "old.tar").encoder, model.encoder, crops(8000))


@pytest.mark.parametrize("head", [linear_head, mlp_head])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_heads(head: Callable[[], nn.Sequential], prefix: str, tmp_path: Path) -> None:
    model, classifier = simclr(2, 8000), head()
    torch.save(model.state_dict(), tmp_path / "encoder.pt")
    torch.save({prefix + key: value for key, value in classifier.state_dict().items()}, tmp_path / "head.pt")
    got = load_official(tmp_path / "encoder.pt", head=tmp_path / "head.pt")
    assert_same(got.head, classifier, torch.rand(3, WIDTH))
    with pytest.raises(
        ResumeError, match=r"head\.pt holds no encoder: .* begins with 0\.weight; give an encoder's file"
    ):
        load_official(tmp_path / "head.pt")
    with pytest.raises(ResumeError, match=r"encoder\.pt holds no head"):
        load_official(tmp_path / "encoder.pt", head=tmp_path / "encoder.pt")


def test_release_2_1_holds_the_encoder_and_a_head_in_one_zip(tmp_path: Path) -> None:
    model, classifier = simclr(2, 8000), mlp_head()
    members: dict[str, object] = {
        "clmr_mlp/": b"",
        "clmr_mlp/mlp_epoch=34-step=2589.ckpt": lightning(LightningHead(model.encoder, classifier)),
        "clmr_mlp/clmr_epoch=10000.ckpt": lightning(LightningSimCLR(model)),
        "__MACOSX/clmr_mlp/._clmr_epoch=10000.ckpt": b"Mac OS X",
    }
    (tmp_path / "asset.zip").write_bytes(packed(members))
    got = load_official(tmp_path / "asset.zip")
    assert_same(got.encoder, model.encoder, crops(8000))
    assert_same(got.projector, model.projector, torch.rand(3, WIDTH))
    assert_same(got.head, classifier, torch.rand(3, WIDTH))


def test_zips_of_release_2_0(tmp_path: Path) -> None:
    """A .pt in a zip, and a .pt that was only renamed."""
    model = simclr(2, 8000)
    (tmp_path / "packed.zip").write_bytes(packed({"./clmr_checkpoint_10000.pt": model.state_dict()}))
    torch.save(model.state_dict(), tmp_path / "renamed.zip")
    for name in ("packed.zip", "renamed.zip"):
        assert_same(load_official(tmp_path / name).encoder, model.encoder, crops(8000))


def test_names_in_a_zip_are_never_paths(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    state = simclr(2, 8000).state_dict()
    (folder / "asset.zip").write_bytes(packed({"../../outside.pt": state}))
    load_official(folder / "asset.zip")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["asset.zip"]


def test_the_supervised_model_gives_encoder_and_classifier(tmp_path: Path) -> None:
    fc = nn.Linear(WIDTH, 5)
    encoder = scrambled(SecondEncoder(8000, WIDTH, fc))
    torch.save(lightning(LightningHead(encoder, encoder)), tmp_path / "supervised.ckpt")
    got = load_official(tmp_path / "supervised.ckpt")
    assert got.head is not None
    assert_same(nn.Sequential(got.encoder, got.head).eval(), encoder, crops(8000))


@pytest.mark.parametrize("layout", ["1.0", "2.0", "2.1"])
def test_saved_weights_load_into_the_authors_modules(layout: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = clmr.ContrastiveModel(scrambled(clmr.SampleCNN(8000, WIDTH)), clmr.Projector(WIDTH, out=12))
    save_official(ours, tmp_path / "ours.pt", layout)
    state = torch.load(tmp_path / "ours.pt", weights_only=True)
    theirs = simclr(1 if layout == "1.0" else 2, 8000)
    if layout == "2.1":
        assert "pytorch-lightning_version" in state
        LightningSimCLR(theirs).load_state_dict(state["state_dict"])
    else:
        theirs.load_state_dict(state)
    assert_same(ours.encoder, theirs.encoder, crops(8000))
    got = load_official(tmp_path / "ours.pt")
    assert got.layout == layout
    for key, value in ours.encoder.state_dict().items():
        assert torch.equal(got.encoder.state_dict()[key], value)
    assert_same(got.projector, ours.projector, torch.rand(3, WIDTH))


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for layout in ("1.0", "2.0", "2.1"):
        for name in ("a.pt", "b.pt"):
            torch.manual_seed(0)
            save_official(clmr.SampleCNN(8000, WIDTH), tmp_path / name, layout)
        assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


def test_float64_is_saved_and_loaded_as_float32(tmp_path: Path) -> None:
    encoder = scrambled(clmr.SampleCNN(8000, WIDTH))
    wide = {f"encoder.{key}": value.double() if value.ndim else value for key, value in encoder.state_dict().items()}
    torch.save(wide, tmp_path / "wide.pt")
    assert_same(load_official(tmp_path / "wide.pt").encoder, encoder, crops(8000))
    save_official(encoder.double(), tmp_path / "saved.pt")
    assert torch.load(tmp_path / "saved.pt", weights_only=True)["encoder.sequential.0.0.weight"].dtype == torch.float32


def test_refuses_unknown_layouts_and_projectors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one of 1\.0, 2\.0, 2\.1, got 3\.0"):
        save_official(clmr.SampleCNN(8000, WIDTH), tmp_path / "x.pt", "3.0")
    with pytest.raises(ConfigError, match=r"a clmr\.Projector, got Identity"):
        save_official(clmr.ContrastiveModel(clmr.SampleCNN(8000, WIDTH), nn.Identity()), tmp_path / "x.pt")
    assert not any(tmp_path.iterdir())
