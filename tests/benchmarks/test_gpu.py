"""The check of GPUs, checked on a CPU: what fails, dies, hangs or is not installed is named, and the others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import absent, check, children, kernels_fused, loading, model, page, precision, speed_steps
from benchmarks.gpu.check import (
    CUT_OFF,
    FAILED,
    NOT_CHECKED,
    PASSED,
    Check,
    NotCheckedError,
    Outcome,
    Target,
    WrongError,
)
from benchmarks.gpu.compare import all_close, apart, close, cosine, equal
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.gpu.rooflines import Peaks
from benchmarks.gpu.sheets import sheet_of, slug
from benchmarks.gpu.steps import BareStep

CPU = Target(torch.device("cpu"), quick=True)
ROOT = Path(__file__).resolve().parents[2]


def state_of(function: Any) -> Outcome:
    return check.run("part", Check("a check", "something", function), CPU)


def test_every_end_of_a_check_has_its_state() -> None:
    def wrong(target: Target) -> dict[str, int]:
        raise WrongError("off by 3")

    def elsewhere(target: Target) -> dict[str, int]:
        raise NotCheckedError("no GPU")

    def needs_a_package(target: Target) -> dict[str, int]:
        import a_package_that_nobody_has.part  # type: ignore[import-not-found]  # that is what is tested

        return {"found": int(a_package_that_nobody_has.part)}

    def broken(target: Target) -> dict[str, int]:
        raise RuntimeError("CUDA error: an illegal memory access\nwith more lines")

    ends = [state_of(each) for each in (lambda target: {"found": 1}, wrong, elsewhere, needs_a_package, broken)]
    assert [(end.state, end.reason) for end in ends] == [
        (PASSED, ""),
        (FAILED, "off by 3"),
        (NOT_CHECKED, "no GPU"),
        (NOT_CHECKED, "the Python package a_package_that_nobody_has is not installed"),
        (FAILED, "RuntimeError: CUDA error: an illegal memory access"),
    ]
    assert "illegal memory access" in ends[-1].trace


def test_a_missing_module_of_our_own_is_a_failure() -> None:
    def needs_ours(target: Target) -> dict[str, int]:
        from importlib import import_module

        import_module("clmr.no_such_module")
        return {}

    assert state_of(needs_ours).state == FAILED


def test_comparisons_find_what_differs() -> None:
    wanted = torch.tensor([1.0, -4.0])
    assert close("x", wanted, wanted, 0) == 0
    for got in (torch.tensor([1.0, -4.1]), torch.tensor([1.0, float("nan")]), torch.tensor([1.0, -4.0, 0.0])):
        with pytest.raises(WrongError):
            close("x", got, wanted, 1e-3)
        with pytest.raises(WrongError):
            equal("x", got, wanted)
    with pytest.raises(WrongError, match="names differ in b"):
        all_close("x", {"a": wanted}, {"a": wanted, "b": wanted}, 1)
    with pytest.raises(WrongError, match="x of b"):
        all_close("x", {"a": wanted, "b": wanted + 0.1}, {"a": wanted, "b": wanted}, 1e-3)
    turned = {"a": torch.tensor([4.0, 1.0])}
    assert cosine(turned, {"a": wanted}) == pytest.approx(0, abs=1e-12)
    assert apart(turned, {"a": wanted}) == pytest.approx(2**0.5)


def test_the_checks_of_the_model_find_a_wrong_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.step(CPU, "view")["float64"]["gradient"] <= model.EXACT
    calls: list[int] = []
    real = BareStep.gradient

    def once_off(step: Any, views: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return real(step, views * (1 + 1e-6 * (len(calls) > 1)))

    monkeypatch.setattr(BareStep, "gradient", once_off)
    with pytest.raises(WrongError, match="float64"):
        model.step(CPU, "view")


@pytest.mark.parametrize(
    "found",
    [
        partial(model.loss, CPU),
        partial(model.loss, CPU, autocast=True),
        partial(model.loss_in_blocks, CPU),
        partial(model.several_steps, CPU),
        partial(model.evaluation, CPU),
        partial(precision.rounded, CPU, "bf16", "fused"),
        partial(kernels_fused.moments, CPU),
        partial(loading.resume, CPU),
        partial(loading.windows, CPU),
    ],
    ids=lambda found: f"{found.func.__name__}",
)
def test_checks_pass_on_a_cpu(found: Any) -> None:
    assert found()


def test_a_race_of_the_loader_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loading.batches(CPU, "torch")["batches"] == 45

    def late(target: Target, pcm: torch.Tensor, number: int) -> torch.Tensor:
        copied = pcm.clone()
        if number == 7:
            copied[2, 1, 300] += 1
        return copied

    monkeypatch.setattr(loading, "CONSUMERS", (late,))
    with pytest.raises(WrongError, match="batch 7 of a consumer that is late: 1 of"):
        loading.batches(CPU, "torch")


def test_a_step_is_timed() -> None:
    found = speed_steps.case(CPU, 96, "bf16", "fused")
    assert found["views_per_second"]["median"] > 0
    assert found["planned_bytes"] > 1e6
    with pytest.raises(NotCheckedError, match="left out: 1 s are left"):
        speed_steps.case(Target(CPU.device, until=time.monotonic() + 1.4), 96, "bf16", "eager")


def test_rooflines_are_those_of_the_reference() -> None:
    h200 = Peaks("data sheet", 4.8e12, 989e12, 494e12)
    assert h200.views_per_second("bf16", "eager") == pytest.approx(16.4e3, rel=0.01)
    assert h200.views_per_second("bf16", "fused") == pytest.approx(34e3, rel=0.01)
    assert h200.views_per_second("tf32", "eager") == pytest.approx(8.5e3, rel=0.01)
    assert Peaks("", 1e15, 989e12, 494e12).views_per_second("bf16", "fused") == pytest.approx(95.5e3, rel=0.01)
    sheet = sheet_of("NVIDIA H100 80GB HBM3")
    assert sheet is not None
    assert sheet.name == "H100 SXM"
    assert sheet_of("NVIDIA H100 PCIe") is sheet_of("NVIDIA L4") is None
    assert slug("NVIDIA GeForce RTX 4090") == "nvidia-geforce-rtx-4090"


def write_lines(report: Path, lines: list[dict[str, Any]]) -> None:
    report.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"begun": "thi')


def test_what_a_dead_child_left_is_read(tmp_path: Path) -> None:
    part = PARTS[0]
    names = [each.name for each in part.checks()]
    done = {"part": part.name, "name": names[0], "proves": "x", "state": PASSED, "figures": {"device": "A GPU"}}
    write_lines(tmp_path / "report", [{"begun": names[0]}, done, {"begun": names[1]}])
    found = children.read_report(tmp_path / "report", part, "its process died of SIGSEGV", FAILED)
    assert [outcome.name for outcome in found] == names
    assert [outcome.state for outcome in found] == [PASSED, FAILED, CUT_OFF, CUT_OFF]
    assert found[2].reason == "not begun: its process died of SIGSEGV"
    assert [each.name for each in page.gone_wrong(found)] == names[1:]


def test_a_part_that_hangs_or_dies_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(children, "GRACE", 0.0)
    part = Part("environment", "environment", 1, "a part")
    programs = {"hangs": "import time; time.sleep(60)", "dies": "import os; os.abort()", "fails": "raise SystemExit(3)"}
    real, ends = subprocess.Popen, {}
    for name, text in programs.items():

        def start(command: list[str], text: str = text, **options: Any) -> subprocess.Popen[bytes]:
            return real([sys.executable, "-c", text], **options)

        monkeypatch.setattr("benchmarks.gpu.children.subprocess.Popen", start)
        begin = time.monotonic()
        ends[name] = children.run_part(part, "cpu", 1.0, quick=True)[0]
        assert time.monotonic() - begin < 30
    assert [end.state for end in ends.values()] == [CUT_OFF] * 3
    assert "cut off after 1 s" in ends["hangs"].reason
    assert signal.Signals.SIGABRT.name in ends["dies"].reason
    assert "status 3" in ends["fails"].reason


BARE = """
import sys, time

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Bare())
import torch
import benchmarks.gpu.__main__
from benchmarks.gpu import check, parts

target = check.Target(torch.device("cpu"), True, time.monotonic() + 60)
for name in ("environment", "loader", "trainer", "speed of the augmentations", "speed of a run"):
    part = parts.part_named(name)
    for each in part.checks():
        outcome = check.run(part.name, each, target)
        print(outcome.state, outcome.name, outcome.reason, sep="|")
"""
ABSENT = "click,pyarrow,obstore,soundfile,soxr,webdataset,xxhash,tqdm,sklearn,scipy,matplotlib,tensorboard,nvidia"


def test_without_packages_the_checks_name_them() -> None:
    """As on a machine that has torch, Triton and NumPy and nothing else of ours."""
    done = subprocess.run(
        [sys.executable, "-c", BARE, ABSENT],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {name: (state, reason) for state, name, reason in (line.split("|") for line in done.stdout.splitlines())}
    assert found["float32 is float32"] == (PASSED, "")
    assert found["torch backend"] == (NOT_CHECKED, "the Python package pyarrow is not installed")
    assert found["dali backend"] == (NOT_CHECKED, "the Python package nvidia is not installed")
    assert found["checkpoints"] == (NOT_CHECKED, "the Python package pyarrow is not installed")
    assert found["each effect"] == (NOT_CHECKED, "the Python package click is not installed")
    assert not [name for name, (state, _) in found.items() if state == FAILED]


def test_a_part_runs_as_a_process_and_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--device", "cpu", "--quick", "--only", "environment", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "gpu-cpu-a-rehearsal.json").read_text())
    assert found["counts"] == {PASSED: 2, FAILED: 0, CUT_OFF: 0, NOT_CHECKED: 2}
    assert "- environment, other processes: processes are looked for on a GPU" in (
        (tmp_path / "gpu-cpu-a-rehearsal.md").read_text()
    )
    assert "not checked other processes: processes are looked for on a GPU" in capfd.readouterr().out


def test_a_failure_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def made_up(device: str, minutes: float, **options: Any) -> list[Outcome]:
        return [
            Outcome("loader", "a check", "x", FAILED, "7 numbers differ"),
            Outcome("nccl", "y", "x", PASSED),
        ]

    monkeypatch.setattr(program, "run_parts", made_up)
    assert program.main(["--device", "cpu", "--quick"]) == 1
    assert "failed: loader, a check: 7 numbers differ" in capsys.readouterr().out


def test_no_gpu_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert program.main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: torch sees no GPU: ")
    assert said.count("\n") == 1
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    assert "built without CUDA" in str(absent.why_no_gpu())


def test_the_page_has_every_figure(tmp_path: Path) -> None:
    figures = {
        "views_per_second": {"median": 9000.0, "lowest": 8900.0, "highest": 9100.0, "rounds": []},
        "peak_bytes": 7.9e9,
        "roofline_views_per_second": 11500.0,
        "share_of_roofline": 0.7826,
        "roofline": "data sheet of H100 SXM",
    }
    outcomes = [
        Outcome("environment", "the GPU and its software", "x", PASSED, figures={"device": "NVIDIA H100 80GB HBM3"}),
        Outcome("speed of a step", "96 pairs, bf16, eager", "x", PASSED, figures=figures),
        Outcome("speed of a step", "4096 pairs, bf16, eager", "x", NOT_CHECKED, "does not fit: 371 GB"),
    ]
    path = page.write(outcomes, tmp_path, "python -m benchmarks.gpu", 12.0)
    assert path.name == "gpu-nvidia-h100-80gb-hbm3.md"
    text = path.read_text()
    assert "| 96 pairs, bf16, eager | 9,000 | 8,900 - 9,100 | 7.9 | 11,500 | 78% |  |" in text
    assert "- speed of a step, 4096 pairs, bf16, eager: does not fit: 371 GB" in text
    assert not page.gone_wrong(outcomes)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
