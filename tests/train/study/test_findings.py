"""What is read of a study's folders, and the sums that the tables are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from tests.train.figures.made_up import check_written, write_scores
from tests.train.study.made_up_study import GAIN, PLAN, write_study
from train.paper_results import paper_tables
from train.runner.costs import Cost, note_cost
from train.study.findings import Findings, find
from train.study.page import comparison, draws_line, markdown, ranking_table
from train.study.pictures import draw
from train.study.plan import ALONE
from train.study.ranking import rank_correlation, ranking
from train.study.systems import PRETRAINED, SPECTRUM, SUPERVISED, UNTRAINED, home_of, scores_folder


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return find(PLAN, write_study(tmp_path))


def test_a_seed_is_the_mean_over_its_draws_and_a_draw_over_the_seeds(findings: Findings) -> None:
    assert findings.seeds(PRETRAINED, 10.0, "tag.roc_auc") == pytest.approx({0: 0.705, 1: 0.725})
    assert findings.draws(PRETRAINED, 10.0, "tag.roc_auc") == pytest.approx([0.71, 0.72])
    assert findings.seeds(PRETRAINED, 100.0, "tag.pr_auc") == pytest.approx({0: 0.6, 1: 0.62})


def test_gains_pair_the_seeds_that_both_systems_have(tmp_path: Path) -> None:
    out = write_study(tmp_path)
    (scores_folder(out, UNTRAINED, 0, 100.0, 0) / "scores.json").unlink()
    found = find(PLAN, out)
    assert found.gains(PRETRAINED, UNTRAINED, "tag.roc_auc") == pytest.approx([0.15])  # of seed 1, not 0 with 1
    assert found.gains(PRETRAINED, SPECTRUM, "tag.roc_auc") == pytest.approx([0.1, 0.12])  # which has no seeds


def test_a_seed_without_all_of_its_draws_does_not_count(tmp_path: Path) -> None:
    out = write_study(tmp_path)
    (scores_folder(out, SUPERVISED, 1, 10.0, 1) / "scores.json").unlink()
    assert list(find(PLAN, out).seeds(SUPERVISED, 10.0, "tag.roc_auc")) == [0]


def test_the_line_of_a_comparison_counts_who_is_ahead(findings: Findings) -> None:
    line = comparison(findings, PRETRAINED, SUPERVISED, 10.0)
    assert line is not None
    assert "-5.0 +- 0.0 against supervised SampleCNN, ahead in 0 of 2 seeds (-5.0, -5.0)" in line
    draws = draws_line(findings)
    assert draws is not None
    assert "By draw of the 10 % (mean over seeds): untrained encoder .560, .570; pretrained" in draws


def test_augmentations_are_ranked_by_their_gain(findings: Findings) -> None:
    rows = ranking(findings)
    names = [row.name for row in rows]
    assert [name for name in names if name in ALONE] == sorted(ALONE, key=lambda name: -GAIN[name])
    by_name = {row.name: row for row in rows}
    assert by_name["pitch"].gains == pytest.approx([GAIN["pitch"]] * 2)
    assert by_name["pitch"].paper == pytest.approx(1.0)  # Table 2: 31.5 less 30.5
    assert by_name["crop"].gain is None
    assert by_name["chain"].paper is None
    assert "| reverb | .580 +- .014 | +7.0 +- 0.0 | 2 of 2 | +7.0 +- 0.0 | - | +1.2 |" in ranking_table(findings)


def test_the_correlation_is_scipys_ties_included(findings: Findings) -> None:
    table = paper_tables()["Table 2"]
    paper = [table.score("tag_pr_auc", transform=name.capitalize()) for name in ALONE[1:]]
    expected = spearmanr([GAIN[name] for name in ALONE[1:]], paper).statistic
    found = rank_correlation(findings)
    assert found is not None
    assert found[0] == pytest.approx(expected)
    assert found[1] == 7


def test_costs_are_of_all_tries_of_all_seeds(tmp_path: Path) -> None:
    out = write_study(tmp_path)
    for seed, seconds in enumerate((30.0, 90.0)):
        note_cost(out / PRETRAINED / f"seed-{seed}", Cost("training", seconds, seconds))
    note_cost(home_of(out, SUPERVISED, 0), Cost("training", 60.0, 60.0))
    found = find(PLAN, out)
    assert sum(cost.seconds for cost in found.costs[PRETRAINED]) == 120.0
    assert "| together | 3 | 3.0 | 3.0 |" in markdown(found, out)


def test_half_a_study_has_a_page_and_an_empty_one_says_so(tmp_path: Path) -> None:
    assert markdown(find(PLAN, tmp_path), tmp_path) == "Nothing has been scored yet."
    out = write_study(tmp_path)
    for folder in (out / PRETRAINED).rglob("scores.json"):
        folder.unlink()
    text = markdown(find(PLAN, out), out)
    assert "| pretrained, paper's chain | - | - | - | - |" in text
    assert "## By tag" not in text
    assert "Unfinished: 37 of 43 scores count so far" in text
    whole = markdown(find(PLAN, write_study(out)), out)
    assert "Unfinished" not in whole
    assert "## By tag" in whole


def test_the_page_says_which_labels_choose_and_how_few_songs_there_are(tmp_path: Path) -> None:
    out = write_study(tmp_path)
    assert "choose the strength" not in markdown(find(PLAN, out), out)  # no probe noted its songs
    for draw_of_songs, unseen in enumerate((["loud"], [])):
        labels = {"fraction": 0.1, "songs": 4, "songs_in_all": 45, "tags_without_positives": unseen}
        folder = scores_folder(out, UNTRAINED, 0, 10.0, draw_of_songs)
        write_scores(folder, [(0.6, 0.5)], tags={"loud": 0.6, "fast": 0.5}, labels=labels)
    text = markdown(find(PLAN, out), out)
    assert "labels of all 20 validation tracks choose" in text
    assert "10 % is 4 of 45 songs, in which 0 to 1 tags are on no track." in text


def test_the_accuracy_is_of_the_last_tenth_of_finished_trainings(tmp_path: Path) -> None:
    plan = replace(PLAN, steps_alone=100)
    for seed, last in enumerate((100, 90)):
        run = tmp_path / "crop" / f"seed-{seed}" / "run"
        run.mkdir(parents=True)
        steps = [*range(5, last, 5), last]
        lines = [json.dumps({"step": step, "contrastive_accuracy": step / 100}) for step in steps]
        (run / "log.jsonl").write_text("\n".join(lines) + "\n")
    assert find(plan, tmp_path).accuracy == {"crop": [pytest.approx(0.975)]}  # of steps 95 and 100


def test_pictures_show_every_seed(findings: Findings, tmp_path: Path) -> None:
    drawn = draw(findings, tmp_path / "pictures")
    assert [path.name for path in drawn] == ["ranking.png", "labels.png"]
    rows = check_written(tmp_path / "pictures", "ranking")["rows"]
    assert len(rows) == 2 * len(ALONE)  # the chain, and all but crops, of two seeds
    curves = {
        (row["system"], row["label_fraction"]): row for row in check_written(tmp_path / "pictures", "labels")["rows"]
    }
    pretrained = curves["pretrained", 0.1]  # the deviation is the tables', over seeds and not over seeds and draws
    assert (pretrained["mean"], pretrained["deviation"]) == pytest.approx((0.715, 0.01 * 2**0.5))
    assert (pretrained["count"], curves["log spectrum", 0.1]["count"]) == (2, 1)
    assert draw(find(PLAN, tmp_path / "nothing"), tmp_path / "nothing") == []
