"""Which trainings a plan's words stand for, and which recipes are one training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clmr.errors import ConfigError
from train.augment_choice import build_views
from train.recipe import RECIPES, read_training_recipe, with_options
from train.runner.baselines import BASELINES
from train.runner.choice import choose, effective_views, same_trainings, training_of
from train.runner.tables import IN_ORDER, TABLES

NEVER = [f"figure4-{name}-0.0" for name in ("delay", "filter", "gain", "noise", "pitch", "polarity", "reverb")]


def names(*patterns: str) -> list[str]:
    return [training.name for training in choose(patterns)]


def test_recipes_that_are_the_same_training_are_trained_once() -> None:
    same = {name: first for name, first in same_trainings().items() if name != first}
    assert same == {
        "table5-epochs-10000": "mtat",
        "table5-epochs-3000": "table4-batch-96",
        "table6-rate-22050": "table2-crop",
        **dict.fromkeys(NEVER, "table2-crop"),
    }
    assert names("table2-crop", "figure4-*-0.0", "table6-rate-22050") == ["table2-crop"]
    assert set(choose(["mtat"])[0].also) == {"table5-epochs-10000"}


@pytest.mark.parametrize("name", NEVER)
def test_an_augmentation_of_probability_0_leaves_the_very_samples_of_a_crop(name: str) -> None:
    pcm = torch.randint(-9000, 9000, (4, 2, 59049), dtype=torch.int16, generator=torch.Generator().manual_seed(1))
    keys = torch.arange(8).view(4, 2)
    recipes = [with_options(read_training_recipe(each), {}, ()) for each in (name, "table2-crop")]
    never, crop = (build_views(settings, 22050) for settings in recipes)
    assert torch.equal(never(pcm, keys), crop(pcm, keys))
    assert effective_views(never) == effective_views(crop) == crop


def test_every_recipe_of_the_paper_stands_in_a_table_and_every_row_has_its_training() -> None:
    recipes = {path.stem for path in RECIPES.glob("*.toml")}
    assert recipes | set(BASELINES) == set(IN_ORDER)
    cited = [row.label for table in TABLES.values() for row in table.rows if row.training is None]
    assert cited == ["Musicnn, MTAT", "1D CNN, MTAT", "Musicnn, MSD"]


def test_tables_and_recipes_print_the_same_numbers_of_the_paper() -> None:
    """Both were typed from the paper, by different hands."""
    compared = 0
    for table in TABLES.values():
        for row in table.rows:
            if row.training is None or row.training in BASELINES:
                continue
            paper = read_training_recipe(row.training).paper or {}
            for entry in (paper, *paper.get("also", ())):
                if entry["table"] == table.name and entry["evaluated_on"].lower() == row.dataset:
                    for kind, (roc_auc, pr_auc) in entry.get("expected", {}).items():
                        if f"{kind}_pr_auc" in row.paper:
                            assert (roc_auc, pr_auc) == (row.paper[f"{kind}_roc_auc"], row.paper[f"{kind}_pr_auc"])
                            compared += 1
    assert compared >= 35


def test_the_whole_paper_is_one_plan() -> None:
    everything = choose([*TABLES])
    assert choose(["Table ?", "Figure 4"]) == everything
    assert len(everything) == len(IN_ORDER) - len(NEVER) - 3
    assert {training.name for training in everything} | {name for each in everything for name in each.also} == set(
        IN_ORDER
    )


def test_tables_patterns_and_names() -> None:
    assert names("table 5") == [
        "mtat",
        "table4-batch-96",
        "table5-epochs-1000",
        "table5-epochs-300",
        "table5-epochs-100",
    ]
    assert names("Table 1") == ["mtat", "supervised-mtat", "cpc-mtat", "supervised-msd", "msd"]
    assert names("cpc-*", "cpc-mtat") == ["cpc-mtat", "cpc-fma", "cpc-billboard", "cpc-gtzan"]
    assert training_of("msd").probed_on == ("msd", "mtat")
    with pytest.raises(ConfigError, match=r"tabel2-gain: no recipe or table has such a name; .*table2-gain"):
        choose(["tabel2-gain"])
    with pytest.raises(ConfigError, match=r"no-such-thing-\*: .* the tables are Table 1, Table 2"):
        choose(["table2-*", "no-such-thing-*"])


def test_a_recipe_of_ones_own_is_probed_on_what_it_was_trained_on(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text('shards = ["data/shards/folk=2"]\nepochs = 3\n')
    one, other = (str(tmp_path / folder / "mine.toml") for folder in ("one", "other"))
    (mine,) = choose([one, one])
    assert (mine.name, mine.probed_on, mine.cost) == ("mine", (None,), {})
    with pytest.raises(ConfigError, match="another recipe of the plan is called mine too"):
        choose([one, other])
