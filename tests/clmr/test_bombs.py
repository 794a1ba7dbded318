"""Files that say they hold far more than they do: refused in one line, before any memory is taken for it."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
import torch

import clmr
from clmr.errors import ResumeError
from clmr.official import load_official
from clmr.weights.files import LARGEST
from tests.clmr.released import packed, simclr

LAST = "encoder.sequential.10.0.weight"
MIDDLE = "encoder.sequential.5.0.weight"
COUNT = "encoder.sequential.5.1.num_batches_tracked"


def bomb(megabytes: int, name: str) -> bytes:
    """A zip with a member of so many zero bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(megabytes):
            member.write(bytes(2**20))
    return content.getvalue()


def refused(path: Path, said: str) -> None:
    with pytest.raises(ResumeError, match=said) as caught:
        load_official(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["weights.pt", "archive/data.pkl"])
def test_zips_that_unpack_to_a_hundred_times_their_size(name: str, tmp_path: Path) -> None:
    """As a release's asset, and as torch's own archive."""
    (tmp_path / "bomb.zip").write_bytes(bomb(100, name))
    refused(tmp_path / "bomb.zip", r"bytes and unpacks to 104857600; at most 67108864 are read")


def test_files_larger_than_any_network(tmp_path: Path) -> None:
    with (tmp_path / "large.pt").open("wb") as file:
        file.truncate(LARGEST + 1)  # takes no room on the disk
    refused(tmp_path / "large.pt", "has 4294967297 bytes; at most 4294967296 are read")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (LAST, torch.zeros(1).expand(2**20, 2**20, 3), "is a Tensor without the numbers it should have"),
        (LAST, torch.zeros(2**40, 0, 3), r"has shape \[1099511627776, 0, 3\], which holds no number"),
        (LAST, torch.zeros(2**20, 1, 1), r"sequential\.0\.0\.weight has shape \[4, 1, 3\], expected \[262144, 1, 3\]"),
        ("projector.0.weight", torch.zeros(2**30, 0), "which holds no number"),
        ("projector.0.weight", torch.zeros(2**20, 1), r"0\.weight has shape \[1048576, 1\], expected \[1048576, 16\]"),
        (MIDDLE, torch.empty(8, 8, 2, device="meta"), "without the numbers"),
        (COUNT, torch.tensor(1j), r"has dtype torch\.complex64, expected torch\.int64"),
    ],
)
def test_sizes_that_the_tensors_only_claim(name: str, value: torch.Tensor, said: str, tmp_path: Path) -> None:
    torch.save({**simclr(2, 8000).state_dict(), name: value}, tmp_path / "weights.pt")
    refused(tmp_path / "weights.pt", said)


def test_a_zip_whose_members_are_too_many_together(tmp_path: Path) -> None:
    (tmp_path / "asset.zip").write_bytes(packed({f"{name}.pt": bytes(2**25) for name in "abc"}))
    refused(tmp_path / "asset.zip", "unpacks to 100663296")


@pytest.mark.parametrize("url", ["https://example.org/clmr.zip", "s3://bucket/clmr.pt", "file:///clmr.pt"])
def test_urls_are_called_urls(url: str) -> None:
    for path in (url, Path(url)):
        for load in (load_official, clmr.load_encoder):
            with pytest.raises(ResumeError, match="is a URL; fetch the file and give its path"):
                load(path)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.pt").write_bytes(b"")

    def denied(_: Path) -> bytes:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_bytes", denied)
    refused(tmp_path / "weights.pt", "cannot be read: Permission denied")
