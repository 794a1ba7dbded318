"""The paper's numbers as data agree with the recipes and with what the tests have of it."""

from __future__ import annotations

import itertools

import pytest

from tests.train.paper_rows import MLP, PAPER
from train.paper_results import Key, paper_tables
from train.recipe import read_training_recipe

COLUMNS = ("roc_auc", "pr_auc")
EPOCHS, RATES, BATCHES = (10_000, 3_000, 1_000, 300, 100), (22_050, 16_000, 8_000), (456, 96, 48)


def recipe_rows() -> list[tuple[str, str, dict[str, Key]]]:
    """Recipe, table, and the keys of its row."""
    rows: list[tuple[str, str, dict[str, Key]]] = [
        (f"table5-epochs-{epochs}", "Table 5", {"epochs": epochs}) for epochs in EPOCHS
    ]
    rows += [(f"table4-batch-{size}", "Table 4", {"batch_size": size}) for size in BATCHES]
    rows += [(f"table6-rate-{rate}", "Table 6", {"sample_rate": rate}) for rate in RATES]
    rows += [(f"table2-{row.keys['transform']}".lower(), "Table 2", row.keys) for row in paper_tables()["Table 2"].rows]
    rows += [(name, "Table 1", {"model": "CLMR", "evaluated_on": name.upper()}) for name in ("mtat", "msd")]
    names = {"fma": "FMA", "gtzan": "GTZAN", "billboard": "Billboard"}
    return rows + [(name, "Table 3", {"model": "CLMR", "pretrained_on": on}) for name, on in names.items()]


@pytest.mark.parametrize(("recipe", "table", "keys"), recipe_rows())
def test_recipes_expect_what_the_table_prints(recipe: str, table: str, keys: dict[str, Key]) -> None:
    paper = read_training_recipe(recipe).paper
    assert paper is not None
    assert paper["table"] == table
    for kind, column in itertools.product(("tag", "clip"), range(2)):
        if kind in paper["expected"]:
            assert paper["expected"][kind][column] == paper_tables()[table].score(f"{kind}_{COLUMNS[column]}", **keys)
    assert [paper_tables()[table].score(f"tag_{column}", **keys) for column in COLUMNS] == PAPER[recipe][4]


def test_scores_with_a_hidden_layer() -> None:
    for epochs in EPOCHS:
        tag, clip = MLP[f"table5-epochs-{epochs}"]
        table = paper_tables()["Table C.1"]
        assert [table.score(f"mlp_tag_{column}", epochs=epochs) for column in COLUMNS] == tag
        assert [table.score(f"mlp_clip_{column}", epochs=epochs) for column in COLUMNS] == clip


def test_tables_repeat_each_other_but_where_the_paper_does_not() -> None:
    tables = paper_tables()
    differing = []
    for row, column in itertools.product(tables["Table 5"].rows, ("tag", "clip")):
        for metric in COLUMNS:
            name = f"{column}_{metric}"
            if row.scores[name] != tables["Table C.1"].score(name, **row.keys):
                differing.append((row.keys["epochs"], name))
    assert differing == [(3000, "clip_roc_auc"), (1000, "clip_roc_auc")]
    crop = tables["Table 2"].score("tag_pr_auc", transform="Crop")
    for row in tables["Figure 4"].rows:
        always = tables["Table 2"].score("tag_pr_auc", transform=row.keys["transform"])
        assert row.scores["tag_pr_auc"] == (crop if row.keys["probability"] == 0 else always)


def test_a_dash_is_no_number() -> None:
    assert paper_tables()["Table 1"].score("tag_pr_auc", model="SampleCNN", evaluated_on="MSD") is None
    assert paper_tables()["Figure 1"].score("parameters_millions", model="CLMR") == 2.5
