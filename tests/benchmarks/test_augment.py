"""The effects' benchmark: who is absent is named, every aim has its others, the GPU's part runs on the CPU too."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import augment, augment_device
from benchmarks.bounds import DEVICES, chain_steps
from benchmarks.contenders.augment_crops import CROP_FRAMES, PAPER
from benchmarks.contenders.augment_registry import NOTHING, OFFICIAL, OURS, Interpreters, chains, libraries, single
from benchmarks.report import Spread, write_results
from benchmarks.turns import Contender, Measured

EVERYBODY = libraries(Interpreters("official/python", "peers/python"))
FOLDER = Path("crops")


def test_every_aim_has_its_others() -> None:
    whole = Measured({each.name: Spread.of([1.0, 1.0]) for each in chains(EVERYBODY, 2, FOLDER)}, {}, {}, {})
    effects = {
        effect: Measured(
            {each.name: Spread.of([200.0, 250.0]) for each in single(EVERYBODY, effect, FOLDER)}, {}, {}, {}
        )
        for effect in (*PAPER, NOTHING)
    }
    page = augment.results(EVERYBODY, whole, effects)
    assert "not measured" not in page
    assert page.count("| met |") == 4, "as fast as the others"
    assert page.count("| missed |") == 1, "the official chain's is 3x"
    assert "| delay | 4.44 (4 - 5) | 4.44 (4 - 5) | - | - | - | - |" in page
    assert "| nothing | - | - | 4.44 (4 - 5) | - | - | - |" in page


def test_who_is_absent_is_named() -> None:
    ours = {OURS: Spread.of([100.0])}
    whole = Measured(ours, {OFFICIAL: "ModuleNotFoundError: No module named 'augment'"}, {OURS: "so"}, {})
    page = augment.results(EVERYBODY, whole, {"gain": Measured(ours, {"torchaudio": "it is too old"}, {}, {})})
    assert f"| {OFFICIAL} | not measured | ModuleNotFoundError: No module named 'augment' |" in page
    assert "| the official chain |  | not measured |  | 3x | not measured |" in page
    assert "| gain | 10 (10 - 10) | - | - | - | - | not measured |" in page
    assert "- gain of torchaudio: it is too old" in page
    assert f"- {OURS}: so" in page


def test_crops_are_of_different_songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "SONGS", 2)
    augment.write_crops(tmp_path)
    crops = np.load(tmp_path / "crops.npy")
    assert crops.shape == (12, CROP_FRAMES)
    assert crops.dtype == np.int16
    assert len({crop.tobytes() for crop in crops}) == 12
    assert crops.std(axis=1).min() > 100
    assert len(list((tmp_path / "responses").glob("*.wav"))) == augment.RESPONSES


def test_versions_are_those_of_the_interpreter() -> None:
    here = {library.name: library for library in EVERYBODY}[OURS]
    assert augment.versions_of(here) == {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
    assert augment.all_versions((here,))["numpy"] == np.__version__


def test_the_gpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(augment.main, ["--device", "cuda"])
    assert done.exit_code == 1
    assert "--device cuda: there is no GPU here" in done.output


def test_the_gpus_part_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment_device, "Sizes", lambda repeats: augment_device.REHEARSAL)
    monkeypatch.setattr(augment_device, "write_results", partial(write_results, folder=tmp_path))
    augment_device.run("cpu", rehearse=False, quick=False)
    (values,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert list(values["effects"]) == list(PAPER)
    assert values["batches"]["2"]["chain"]["device_ms"][0] > 0
    (page,) = (path.read_text() for path in tmp_path.glob("*.md"))
    assert re.search(r"^\| 2 pairs \|.*\| (met|missed) \|$", page, re.MULTILINE)


def test_an_effect_beside_its_bound() -> None:
    times = augment_device.Times(Spread.of([2.0]), Spread.of([3.0]))
    steps = {step.name: step for step in chain_steps()}
    bound = 1e3 * 256 * steps["gain"].seconds(DEVICES[0])
    line = augment_device.effects_table({"gain": times}, tuple(steps.values()), 256, DEVICES[0]).splitlines()[2]
    assert line.startswith("| gain | 2.000 (2.000 - 2.000) | 3.000 (3.000 - 3.000) | 7.812 |")
    assert line.endswith(f"| {bound:.3f} | {2 / bound:.1f}x |")


def test_everything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made_up(contenders: Sequence[Contender], *arguments: object, **options: object) -> Measured:
        return Measured({each.name: Spread.of([300.0]) for each in contenders}, {}, {}, {})

    monkeypatch.setattr(augment, "measure", made_up)
    monkeypatch.setattr(augment, "write_crops", lambda folder: None)
    monkeypatch.setattr(augment, "write_results", partial(write_results, folder=tmp_path))
    done = CliRunner().invoke(augment.main, ["--cores", "2"])
    assert done.exit_code == 0, done.output
    (values,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert values["settings"]["probabilities"] == PAPER
    assert values["views_per_second"][OURS]["median"] == 300
    assert set(values["one_effect_views_per_second"]) == {*PAPER, NOTHING}
    assert {"torch", "numpy", "sox"} <= set(values["versions"])


def test_data_sheets() -> None:
    names = {
        "NVIDIA H100 80GB HBM3": "H100 SXM",
        "NVIDIA H200": "H200",
        "NVIDIA A100-SXM4-80GB": "A100 80 GB",
        "NVIDIA GeForce RTX 4090": "RTX 4090",
    }
    for name, sheet in names.items():
        found = augment_device.sheet_of(name)
        assert found is not None
        assert found.name == sheet
    assert augment_device.sheet_of("NVIDIA L4") is None
