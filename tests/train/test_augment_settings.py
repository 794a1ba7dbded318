"""--augment and --probability: what they come to, what the run says of it, and that it goes on with no other chain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from clmr.augment import Views, load_table
from clmr.errors import ConfigError
from loaders import PairLoader
from tests.train.launching import SMALL, newest
from tests.train.test_trainer import HERE
from train.augment_choice import SAMPLE, parse_probabilities, with_recipe
from train.pretrain import main
from train.settings import PretrainSettings
from train.trainer import Trainer

ABLATION = """
[first]
preset = "crop"
[[second.operations]]
name = "filter"
probability = 1.0
"""


def pretrain(shards: Path, run: Path, *options: str) -> None:
    main.main(["--shards", str(shards), "--run", str(run), *SMALL, *options], standalone_mode=False)


def settings(**changes: object) -> PretrainSettings:
    return PretrainSettings(shards=("nowhere",), steps=1, **changes)  # type: ignore[arg-type]  # a test's settings


@pytest.fixture(scope="module")
def begun(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step by a recipe, whose file is gone afterwards."""
    folder = tmp_path_factory.mktemp("begun")
    recipe = folder / "mine.toml"
    recipe.write_text(ABLATION, encoding="utf-8")
    options = ["--augment", str(recipe), "--probability", "filter=0.75", "--steps", "1"]
    pretrain(shards, folder / "run", *options)
    recipe.unlink()
    return folder / "run"


def test_the_run_says_what_it_was(begun: Path) -> None:
    config = json.loads((begun / "config.json").read_text(encoding="utf-8"))
    assert config["settings"]["augment"] == str(begun.parent / "mine.toml")
    assert config["settings"]["recipe"] == ABLATION
    assert config["settings"]["probability"] == ["filter=0.75"]
    views = Views.recipe(ABLATION, 8000).with_probability({"filter": 0.75})
    assert config["augment"] == json.loads(json.dumps(views.describe()))


def test_the_first_batchs_draws_are_logged(shards: Path, tmp_path: Path) -> None:
    pretrain(shards, tmp_path, "--steps", "1", "--probability", "delay=1")
    with PairLoader(shards, batch_size=int(SMALL[SMALL.index("--batch-size") + 1])) as loader:
        batch = next(iter(loader))
    views = Views.preset("paper", 8000).with_probability({"delay": 1})
    table, expected = load_table(tmp_path / SAMPLE), views.draw(batch.keys)
    for column, values in table.items():
        assert torch.equal(values, torch.cat([expected[0][column], expected[1][column]])), column
    rows = [json.loads(line) for line in (tmp_path / SAMPLE).read_text(encoding="utf-8").splitlines()]
    assert [(row["track"], row["view"]) for row in rows] == [(t, v) for v in (0, 1) for t in batch.track.tolist()]


def test_a_run_of_two_chains_is_replayed_view_by_view(begun: Path) -> None:
    chains = json.loads((begun / "config.json").read_text(encoding="utf-8"))["augment"]
    for view, name in enumerate(("first", "second")):
        table = load_table(begun / SAMPLE, view=view)
        expected = {operation["name"] for operation in chains[name]["operations"]}
        assert {column.split(".")[0] for column in table} == expected
    views = Views.recipe(ABLATION, 8000).with_probability({"filter": 0.75})
    audio = torch.rand(len(table["filter.gate"]), 1, 3000) - 0.5
    assert torch.equal(views.second.apply(audio, table)[~table["filter.gate"]], audio[~table["filter.gate"]])
    with pytest.raises(ConfigError, match="has no row of view 2"):
        load_table(begun / SAMPLE, view=2)


def test_goes_on_without_the_file(shards: Path, begun: Path) -> None:
    recipe = str(begun.parent / "mine.toml")
    sample = (begun / SAMPLE).read_bytes()
    pretrain(shards, begun, "--augment", recipe, "--probability", "filter=0.75", "--steps", "2")
    assert newest(begun)["step"] == 2
    config = json.loads((begun / "config.json").read_text(encoding="utf-8"))
    assert config["settings"]["recipe"] == ABLATION
    assert (begun / SAMPLE).read_bytes() == sample


def test_goes_on_with_what_means_the_same(shards: Path, begun: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "renamed.toml"
    recipe.write_text("# the same\n" + ABLATION.replace("1.0", "0.75"), encoding="utf-8")
    run = shutil.copytree(begun, tmp_path / "run")
    pretrain(shards, run, "--augment", str(recipe), "--steps", "3")
    assert newest(run)["step"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "augmentation first.order = [], not ['polarity'"),
        (["--augment", "MINE", "--probability", "filter=0.5"], "second.filter.probability = 0.75, not 0.5"),
        (["--augment", "other.toml"], "--augment other.toml: neither a preset (paper, official, crop) nor a file"),
        (["--augment", "MINE", "--probability", "filtre=1"], "no view has an augmentation 'filtre'; did you mean"),
    ],
)
def test_goes_on_with_no_other_chain(
    shards: Path, begun: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    given = [str(begun.parent / "mine.toml") if option == "MINE" else option for option in options]
    with pytest.raises(SystemExit):
        pretrain(shards, begun, *given, "--steps", "3")
    errors = capfd.readouterr().err
    assert message in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_a_recipe_reaches_the_trainer(shards: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(ABLATION, encoding="utf-8")
    chosen = PretrainSettings(shards=(str(shards),), steps=1, batch_size=6, width=16, augment=str(recipe))
    trainer = Trainer(with_recipe(chosen, tmp_path / "run"), HERE)
    trainer.loader.close()
    assert trainer.views == Views.recipe(ABLATION, 8000)


def test_mistakes_show_before_any_shard_is_opened(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('preset = "peper"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine.toml: preset = 'peper' is unknown; did you mean paper\?"):
        with_recipe(settings(augment=str(recipe)), tmp_path / "run")
    recipe.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="the file is not text"):
        with_recipe(settings(augment=str(recipe)), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"'ptich'; did you mean pitch\?"):
        with_recipe(settings(probability=("ptich=0.5",)), tmp_path / "run")


def test_probabilities_on_the_command_line() -> None:
    assert parse_probabilities(()) == {}
    assert parse_probabilities(("pitch=0.8", "reverb=0")) == {"pitch": 0.8, "reverb": 0.0}
    for wrong in ("pitch", "pitch=", "pitch=often", "=", "pitch:0.5"):
        with pytest.raises(ConfigError, match=f"--probability {wrong}: write NAME=NUMBER, such as pitch=0.8"):
            parse_probabilities((wrong,))
    with pytest.raises(ConfigError, match="pitch is given twice"):
        parse_probabilities(("pitch=0.8", "pitch=0.8"))
