"""Training recipes: the paper's against a table typed from the paper, what overrides what, and mistakes."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from clmr import crop_frames
from clmr.augment import Views
from clmr.augment.presets import PRESETS
from clmr.errors import ConfigError
from tests.train.launching import ROOT, SMALL
from tests.train.paper_rows import MLP, PAPER, TRACKS
from tests.train.test_trainer import HERE
from train.augment_choice import build_views
from train.pretrain import main
from train.recipe import RECIPES, find_recipe, laid_over, read_training_recipe, with_options
from train.settings import PretrainSettings
from train.trainer import Trainer

FIGURE_4 = {
    f"figure4-{operation.name}-{p}": (operation.name, p) for operation in PRESETS["paper"] for p in (0.0, 0.4, 0.8)
}
NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def settings_of(name: str) -> PretrainSettings:
    return with_options(read_training_recipe(name), {}, ())


def one_sided(operation: str, probability: float, rate: int) -> Views:
    """One view only cropped, the other with one augmentation of the paper's chain."""
    chain = Views.preset("paper", rate).first
    alone = type(chain)(tuple(each for each in chain.operations if each.name == operation), rate)
    return Views(Views.preset("crop", rate).first, alone.with_probability({operation: probability}))


def test_every_row_of_the_paper_has_its_recipe_and_nothing_else() -> None:
    assert sorted([*PAPER, *FIGURE_4]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_the_paper_says(name: str) -> None:
    without = ("mtat", 1_000, 96, 22_050, None, None)  # Figure 4 prints no numbers
    dataset, epochs, batch, rate, tag, clip = PAPER.get(name, without)
    recipe, settings = read_training_recipe(name), settings_of(name)
    assert settings.shards[0].startswith(f"data/shards/{dataset}")
    assert (settings.epochs, settings.steps, settings.batch_size) == (epochs, None, batch)
    assert settings.sample_rate == rate
    assert (settings.width, settings.projection, settings.temperature) == (512, 128, 0.5)  # sections 2.3 and 2.9
    assert (settings.optimizer, settings.learning_rate, settings.weight_decay) == ("adam", 3e-4, 0.0)
    assert (settings.schedule, settings.warmup_epochs, settings.precision) == ("constant", 0, "float32")

    operation, probability = FIGURE_4.get(name, (name.removeprefix("table2-"), 1.0))
    if name in {"table2-crop", "table6-rate-22050", "table6-rate-16000", "table6-rate-8000"}:
        expected = Views.preset("crop", rate)
    elif name.startswith(("table2", "figure4")):
        expected = one_sided(operation, probability, rate)
    else:
        expected = Views.preset("paper", rate)
    assert build_views(settings, rate) == expected

    paper = recipe.paper
    assert paper is not None
    scores = {
        "tag": tag,
        "clip": clip,
        "mlp_tag": MLP.get(name, (None, None))[0],
        "mlp_clip": MLP.get(name, (0, None))[1],
    }
    assert paper.get("expected", {}) == {key: value for key, value in scores.items() if value is not None}
    number = re.match(r"table(\d)|(figure4)", name)
    table = "Figure 4" if name in FIGURE_4 else f"Table {number[1]}" if number else paper["table"]
    assert paper["table"] == table
    check_cost(paper["cost"], settings, TRACKS[dataset])


def check_cost(cost: dict[str, Any], settings: PretrainSettings, tracks: int) -> None:
    """Whole batches alone are taken; hours are those of the paper's speed on crops of 59,049 samples."""
    assert settings.epochs is not None
    assert settings.sample_rate is not None
    assert cost["tracks"] == tracks
    assert cost["steps"] == tracks // settings.batch_size * settings.epochs
    assert cost["pairs"] == cost["steps"] * settings.batch_size
    # 201,680 songs, 1,000 epochs, five days, two GPUs (section 2.3).
    pairs_per_second = 201_680 * 1_000 / (5 * 86_400)
    hours = 2 * cost["pairs"] / pairs_per_second / 3600 * crop_frames(settings.sample_rate) / crop_frames(22_050)
    assert cost["gpu_hours"] == pytest.approx(hours, rel=0.06)
    assert cost["basis"]


def test_msd_stands_in_two_tables() -> None:
    paper = read_training_recipe("msd").paper
    assert paper is not None
    assert paper["also"][0]["expected"] == {"tag": [86.57, 32.04]}


def test_recipes_are_short() -> None:
    for path in RECIPES.glob("*.toml"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= (20 if path.stem == "mtat" else 14), path


def test_a_run_by_a_recipe_with_overrides(shards: Path, tmp_path: Path) -> None:
    options = ["--recipe", "figure4-filter-0.8", "--shards", str(shards), "--sample-rate", "8000", *SMALL]
    main.main(
        [*options, "--run", str(tmp_path), "--steps", "2", "--probability", "filter=0.6", "--no-ceilings"],
        standalone_mode=False,
    )
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    settings = config["settings"]
    assert config["total_steps"] == settings["steps"] == 2
    assert settings["epochs"] is None
    assert (settings["batch_size"], settings["width"], settings["learning_rate"]) == (8, 16, 3e-4)
    assert config["augment"] == json.loads(json.dumps(one_sided("filter", 0.6, 8000).describe()))
    recipe = config["recipe"]
    assert recipe["name"] == "figure4-filter-0.8"
    assert recipe["paper"] == tomllib.loads((RECIPES / "figure4-filter-0.8.toml").read_text("utf-8"))["paper"]
    assert recipe["settings"]["epochs"] == 1000
    assert set(recipe["overridden"]) == {
        *("shards", "sample_rate", "batch_size", "epochs", "steps", "width", "projection", "probability")
    }


def test_goes_on_without_the_file(shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        f"shards = ['{shards}']\nbatch_size = 8\nwidth = 16\nprojection = 8\nsteps = 1\n"
        "temperature = 0.1\nprobability = ['pitch=0']\n[augment]\npreset = 'paper'\n",
        encoding="utf-8",
    )
    common = ["--recipe", str(mine), "--run", str(tmp_path / "run"), "--device", "cpu", "--no-ceilings"]
    main.main(common, standalone_mode=False)
    before = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert before["settings"]["temperature"] == 0.1
    mine.unlink()
    main.main([*common, "--steps", "2"], standalone_mode=False)
    after = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert after["recipe"]["settings"] == before["recipe"]["settings"]
    assert after["total_steps"] == 2
    with pytest.raises(SystemExit):
        main.main(["--recipe", str(mine), "--run", str(tmp_path / "another")], standalone_mode=False)
    assert f"--recipe {mine}: no such file" in capfd.readouterr().err


def test_a_chain_on_the_command_line_takes_the_place_of_the_recipes(shards: Path, tmp_path: Path) -> None:
    recipe = read_training_recipe("figure4-filter-0.8")
    given = {"augment": "official", "probability": ("pitch=1",), "shards": (str(shards),), "sample_rate": None}
    small = {"batch_size": 8, "width": 16, "projection": 8, "steps": 1}
    settings = with_options(recipe, given | small, {*given, *small})
    assert settings.recipe is None
    trainer = Trainer(settings, HERE)
    trainer.loader.close()
    assert trainer.views == Views.preset("official", 8000).with_probability({"pitch": 1.0})


def test_what_is_laid_over_what() -> None:
    assert laid_over({"epochs": 3, "seed": 1}, {"steps": 2}) == {"steps": 2, "seed": 1}
    assert laid_over({"warmup_steps": 3}, {"warmup_epochs": 2}) == {"warmup_epochs": 2}
    base = {"probability": ("pitch=0.1", "delay=0.2"), "augment": "paper", "recipe": None}
    assert laid_over(base, {"probability": ("pitch=0.5",)})["probability"] == ("delay=0.2", "pitch=0.5")
    assert laid_over(base, {"augment": "crop"}) == {"augment": "crop"}
    assert laid_over(base, {"augment": "crop", "probability": ("gain=1",)})["probability"] == ("gain=1",)


def test_options_left_out_leave_the_recipes_values() -> None:
    options: dict[str, Any] = {"temperature": 0.5, "batch_size": 96, "epochs": None, "steps": None}
    recipe = read_training_recipe("table4-batch-48")
    assert with_options(recipe, options, ()).batch_size == 48
    assert with_options(recipe, options, {"batch_size"}).batch_size == 96


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temprature = 0.1", "unknown key temprature; did you mean temperature?"),
        ("run = 'here'", "unknown key run; "),
        ("recipe = 'x'", "unknown key recipe; allowed: shards, "),
        ("epochs = '3'", "epochs must be a whole number below 2^31, got '3'"),
        ("epochs = 3.0", "epochs must be a whole number"),
        ("temperature = true", "temperature must be a number, got True"),
        ("shards = 'data'", "shards must be a list of strings, got 'data'"),
        ("probability = [0.5]", "probability[0] must be a string, got 0.5"),
        ("epochs = 1\nsteps = 1", "epochs and steps exclude each other"),
        ("augment = 'peper'", "augment = 'peper' is unknown; did you mean paper?"),
        ("augment = 3", "augment must be a string, got 3"),
        ("augment.filter.since = 2001-01-01", "augment.filter.since must be a text, a number"),
        ("paper = 1", "paper must be a table, got 1"),
        ("paper.tabel = 'x'", "unknown key paper.tabel; did you mean table?"),
        ("paper.note = 2001-01-01", "no dates"),
        ("base = 'other'", "base must be the name of a .toml file in the same folder, got 'other'"),
        ("base = '../x.toml'", "base must be the name of a .toml file in the same folder"),
        ("base = '/x.toml'", "base must be the name"),
        ("base = 3", "base must be the name"),
        ("base = 'mein.toml'", "base = 'mein.toml' is no file of its folder; did you mean main.toml?"),
        ("base = 'mine.toml'", "the recipe starts from itself"),
        ("base = 'main.toml'", "the recipe starts from itself"),
        ("epochs =", "is not TOML"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(text + "\n", encoding="utf-8")
    (tmp_path / "main.toml").write_text("base = 'mine.toml'\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        find_recipe(str(mine), tmp_path / "run")
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_mistyped_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"--recipe table2-fitler: no such file.*did you mean table2-filter\?"):
        read_training_recipe("table2-fitler")


def test_a_chain_survives_being_written_as_text(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    chain = (
        "[augment.first]\npreset = 'paper'\nfilter = { probability = 0.5, kind = 'sinc', low_pass_hz = [1000, 2e3] }\n"
        "[augment.second]\npreset = 'official'\npitch.whole_cents = false\n"
    )
    mine.write_text("epochs = 1\nshards = ['x']\n" + chain, encoding="utf-8")
    settings = settings_of(str(mine))
    assert settings.augment == str(mine)
    assert build_views(settings, 22050) == Views.recipe(chain.replace("augment.", ""), 22050)


def test_the_guide_names_recipes_that_exist_and_shows_one_that_reads(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    named = re.findall(r"--recipe ([\w.-]+)", guide)
    assert len(named) >= 4
    assert set(named) <= set(NAMES)
    (block,) = re.findall(r"^```toml\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    (tmp_path / "mtat.toml").write_bytes((RECIPES / "mtat.toml").read_bytes())
    (tmp_path / "mine.toml").write_text(block, encoding="utf-8")
    settings = settings_of(str(tmp_path / "mine.toml"))
    assert (settings.epochs, settings.batch_size, len(settings.weights)) == (1000, 96, 2)
    pitch = next(each for each in build_views(settings, 22050).first.operations if each.name == "pitch")
    assert json.loads(json.dumps(vars(pitch)))["semitones"] == [-3, 3]


def test_splits_reach_the_loader(shards: Path) -> None:
    """GTZAN and Billboard train on all tracks there are."""
    chosen = PretrainSettings(shards=(str(shards),), steps=1, batch_size=6, width=16, splits=("train", "valid"))
    trainer = Trainer(chosen, HERE)
    trainer.loader.close()
    assert trainer.loader.track_count == 24 + 8
