"""The benchmark of local loading: everybody is set up, who is absent is named, the page says who won."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import loader
from benchmarks.contenders.registry import COPY, OURS, Corpus, converters, interpreter, local_contenders
from benchmarks.report import Spread
from benchmarks.turns import Contender, Measured
from tests.benchmarks.signatures import misfit

CORPUS = Corpus(Path("corpus"), (Path("corpus/clips/0.wav"),), (Path("corpus/shards/train/000000.tar"),))
COMMON = {"pairs": 96, "crop_frames": 59049}


def everybody() -> list[Contender]:
    return [contender for contender, _ in local_contenders(CORPUS, COMMON, 2, 2, sys.executable)]


def test_everybody_is_set_up() -> None:
    contenders = [*everybody(), *converters(CORPUS, sys.executable).values()]
    assert [misfit(contender) for contender in contenders] == [None] * len(contenders)
    assert misfit(Contender("x", "benchmarks.contenders.ours:memory_copy", {"pairs": 1})) is not None


def test_every_aim_has_its_others() -> None:
    rates = {contender.name: Spread.of([1.0]) for contender in everybody()}
    page = loader.results(Measured(rates, {}, {}, {}), 2)
    assert "not measured" not in page
    assert page.count("| missed |") == 5
    assert page.count("| met |") == 1, "as fast as copying"


def test_peers_run_where_they_are_installed() -> None:
    assert interpreter("numpy", "elsewhere") == sys.executable
    assert find_spec("no_such_library") is None
    assert interpreter("no_such_library", "elsewhere") == "elsewhere"


def test_who_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few(*arguments: object) -> list[tuple[Contender, str]]:
        kept = {OURS, COPY, "LitData items, 0 workers"}
        found = local_contenders(CORPUS, {**COMMON, "pairs": 4}, 1, 2, sys.executable)
        here = {"shards": str(tmp_path / "shards")}
        return [
            (
                Contender(
                    each.name, each.target, {**each.settings, **here} if "shards" in each.settings else each.settings
                ),
                needs,
            )
            for each, needs in found
            if each.name in kept
        ]

    make_corpus = loader.make_corpus
    monkeypatch.setattr(loader, "make_corpus", lambda folder, _: make_corpus(folder, 12))
    monkeypatch.setattr(loader, "local_contenders", few)
    monkeypatch.setattr(loader, "converters", lambda *_: {"litdata": Contender("x", "no_such_library:convert", {})})
    monkeypatch.setattr("benchmarks.loader.tempfile.TemporaryDirectory", lambda prefix: _Kept(tmp_path))
    done = CliRunner().invoke(loader.main, ["--quick", "--clips", "96", "--rounds", "1", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert (
        "| LitData items, 0 workers | not measured | ModuleNotFoundError: No module named 'no_such_library' |"
        in done.output
    )
    assert "| MosaicML Streaming |  | not measured |  | 5x | not measured |" in done.output
    assert f"| the memory copy | {COPY} |" in done.output
    assert "- PairLoader: PairLoader with its defaults" in done.output


class _Kept:
    """A folder as tempfile gives it, that is known beforehand."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> str:
        return str(self.path)

    def __exit__(self, *_: object) -> None:
        """Pytest removes it."""
