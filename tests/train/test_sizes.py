"""Pretraining end to end from the smallest batch to a large one, alone and over two processes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sharding.build import build
from sharding.plan import BuildSettings
from tests.tolerances import FLOAT64
from tests.train.launching import newest, program, run
from train.pretrain import main
from train.runs.log import read_log

TINY = ["--width", "16", "--projection", "8", "--device", "cpu", "--threads", "1", "--augment", "crop"]
TINY += ["--no-ceilings", "--learning-rate", "0.0003"]
LARGE = 256
RATE = 8000
CROP = 20736  # samples, at 8 kHz


def pretrain(shards: Path, out: Path, pairs: int, *options: str) -> None:
    """Train in this process."""
    arguments = ["--shards", str(shards), "--run", str(out), *TINY, "--batch-size", str(pairs), *options]
    main.main(arguments, standalone_mode=False)


def torchrun(shards: Path, out: Path, pairs: int, *options: str) -> tuple[int, str]:
    """Train in two processes; exit code and what they said."""
    arguments = ["--shards", str(shards), "--run", str(out), *TINY, "--batch-size", str(pairs), *options]
    done = run(program("pretrain.py", arguments, ["--standalone", "--nproc-per-node", "2"]))
    return done.returncode, done.stdout + done.stderr


def weights(out: Path) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = newest(out)["model"]
    return model


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of as many noises of little more than a crop as the large batch has pairs."""
    source, out = tmp_path_factory.mktemp("noise"), tmp_path_factory.mktemp("many") / "shards"
    draw = np.random.default_rng(3)
    for number in range(LARGE):
        noise = draw.standard_normal(CROP + 800) * draw.uniform(0.05, 0.2)
        soundfile.write(source / f"{number}.wav", noise, RATE, subtype="PCM_16")
    rows = "".join(f"{number}.wav,noise,train,song-{number}\n" for number in range(LARGE))
    (source / "labels.csv").write_text(f"path,tags,split,song_id\n{rows}", encoding="utf-8")
    build(source, out, BuildSettings(dataset="folder", sample_rate=RATE), jobs=1)
    return out


def test_two_pairs_alone_and_one_on_each_of_two_ranks(shards: Path, tmp_path: Path) -> None:
    """A rank with one pair has negatives on the other rank alone, and batch statistics of both."""
    options = ["--steps", "3", "--precision", "float64"]
    pretrain(shards, tmp_path / "alone", 2, *options)
    code, said = torchrun(shards, tmp_path / "two", 2, *options)
    assert code == 0, said
    alone, two = weights(tmp_path / "alone"), weights(tmp_path / "two")
    start = torch.load(tmp_path / "alone" / "checkpoints" / "step-00000000.pt", weights_only=True)["model"]
    assert alone.keys() == two.keys()
    scale = max(value.abs().max().item() for value in alone.values() if value.is_floating_point())
    for name, value in alone.items():
        # Adam divides by the gradient's size, so where that is mere rounding its sign is too: such weights differ.
        torch.testing.assert_close(two[name], value, rtol=FLOAT64, atol=FLOAT64 * scale, msg=name)
    assert any(not torch.equal(alone[name], start[name]) for name in start)
    (one,), (other,) = read_log(tmp_path / "alone"), read_log(tmp_path / "two")
    assert other["loss"] == pytest.approx(one["loss"], rel=FLOAT64)


@pytest.mark.parametrize("pairs", [2, 3, 7, 24])
def test_every_small_size_trains(shards: Path, tmp_path: Path, pairs: int) -> None:
    """24 are all the tracks that there are."""
    pretrain(shards, tmp_path, pairs, "--steps", "2")
    assert newest(tmp_path)["step"] == 2
    assert all(bool(value.isfinite().all()) for value in weights(tmp_path).values())


def test_a_large_batch(many: Path, tmp_path: Path) -> None:
    """Its loss begins near that of a guess among all other views."""
    pretrain(many, tmp_path, LARGE, "--steps", "1")
    (entry,) = read_log(tmp_path)
    assert 0 < entry["loss"] < math.log(2 * LARGE - 1) + 0.5
    assert all(bool(value.isfinite().all()) for value in weights(tmp_path).values())


@pytest.mark.parametrize(("pairs", "said"), [("1", "at least 2 pairs"), ("25", "24"), ("0", "at least 2 pairs")])
def test_sizes_that_cannot_be_say_so_in_a_line(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], pairs: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        pretrain(shards, tmp_path, int(pairs), "--steps", "1")
    assert ended.value.code not in {0, None}
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert said in line
