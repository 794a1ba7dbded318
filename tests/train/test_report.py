"""A run's summary, picture and page come from its own files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.train.launching import SMALL
from train.embed import main as embed
from train.pretrain import main as pretrain
from train.probe import main as probe_features
from train.report import main
from train.runs.log import RunLog, read_log, read_probes


def test_summary_and_curve(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--shards", str(shards), "--run", str(tmp_path / "run"), *SMALL, "--steps", "12", "--probe-every", "2"]
    pretrain.main(arguments, standalone_mode=False)
    main.main(["--run", str(tmp_path / "run")], standalone_mode=False)
    printed = capsys.readouterr().out
    log = read_log(tmp_path / "run")
    assert "step 12 of 12" in printed
    assert f"{log[0]['loss']:.4f} -> {log[-1]['loss']:.4f}" in printed
    probes = read_probes(tmp_path / "run")
    assert f"tones: ROC-AUC {probes[0]['roc_auc']:.4f} at step 0 -> {probes[-1]['roc_auc']:.4f} at step 12" in printed
    assert f"uniformity {log[-1]['uniformity']:.3f}" in printed
    with Image.open(tmp_path / "run" / "loss.png") as picture:
        assert picture.width == pytest.approx(3 * 4.5 * 150, abs=2), "loss, accuracy and probe"
        colours = picture.convert("RGB").getcolors(picture.size[0] * picture.size[1])
    assert colours is not None
    assert len(colours) > 10, "the picture is blank"


def test_page_of_the_whole_chain(shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain.main(["--shards", str(shards), "--run", str(run), *SMALL, "--steps", "2"], standalone_mode=False)
    frozen = ["--run", str(run), "--shards", str(shards), "--out", str(run / "features"), "--threads", "1"]
    embed.main(frozen, standalone_mode=False)
    probe = ["--features", str(run / "features"), "--out", str(run / "probe"), "--preset", "fast"]
    probe_features.main(probe, standalone_mode=False)
    main.main(["--run", str(run)], standalone_mode=False)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 30
    assert page.count("data:image/png") == 1
    assert (run / "figures" / "tsne.png").exists()
    assert json.loads((run / "saturation.json").read_text())["verdict"][1:] in page
    roc_auc = json.loads((run / "probe" / "scores.json").read_text())["summary"]["tag"]["roc_auc"]["mean"]
    assert f"<dt>Tag ROC-AUC</dt><dd>{roc_auc:.3f}</dd>" in page
    assert "linear on standardised features, L-BFGS" in page
    assert len(page) < 4e6


def test_a_supervised_run_and_one_without_a_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"shards": "data", "width": 16, "seed": 0}
    config = {"settings": settings, "sample_rate": 8000, "parameters": 9, "total_steps": 10}
    (tmp_path / "config.json").write_text(json.dumps(config | {"kind": "supervised"}))
    lines = [{"step": 5, "loss": 0.75}, {"step": 5, "validation_roc_auc": 0.5}, {"step": 10, "loss": 0.25}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    main.main(["--run", str(tmp_path), "--out", str(tmp_path / "page.html")], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "loss      0.7500 -> 0.2500" in printed
    assert "valid     ROC-AUC 0.5000 -> 0.5000" in printed
    assert (tmp_path / "page.html").exists()
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "log.jsonl").unlink()
    main.main(["--run", str(tmp_path)], standalone_mode=False)
    assert "no step yet" in capsys.readouterr().out
    assert (tmp_path / "report.html").exists()
    assert not (tmp_path / "loss.png").exists()


def test_no_run_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--run", str(tmp_path)], standalone_mode=False)
    assert "is no run of train/pretrain.py" in capsys.readouterr().err


def test_log_is_cut_at_the_resumed_step(tmp_path: Path) -> None:
    numbers = {"loss": 1.0, "pairs_per_second": 1.0, "wait_share": 0.0}
    with RunLog(tmp_path, start=0, total=30, active=True) as log:
        for step in (10, 20, 30):
            log.write({"step": step, **numbers})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # what a kill -9 in the middle of a line leaves
    assert [entry["step"] for entry in read_log(tmp_path)] == [10, 20, 30]
    with RunLog(tmp_path, start=20, total=30, active=True) as log:
        log.write({"step": 30, **numbers})
    assert [entry["step"] for entry in read_log(tmp_path)] == [10, 20, 30]


@pytest.mark.parametrize("kind", [{}, {"kind": "cpc"}], ids=["earlier version", "cpc"])
def test_logs_without_geometry_and_probes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: dict[str, str]
) -> None:
    """Nor does the line of a run's first step know of waiting."""
    settings = {"shards": ["data"], "width": 16, "seed": 0}
    config = {"settings": settings, "tracks": 24, "sample_rate": 8000, "parameters": 9, "total_steps": 10} | kind
    (tmp_path / "config.json").write_text(json.dumps(config))
    line = {"step": 1, "epoch": 0, "loss": 2.5, "contrastive_accuracy": 0.5, "pairs_per_second": 7.0}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    main.main(["--run", str(tmp_path)], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "step 1 of 10" in printed
    assert "uniformity" not in printed
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.width == pytest.approx(2 * 4.5 * 150, abs=2)


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with RunLog(tmp_path, start=0, total=1, active=False) as log:
        log.write({"step": 1, "loss": 0.0})
        log.advance()
    assert not list(tmp_path.iterdir())
