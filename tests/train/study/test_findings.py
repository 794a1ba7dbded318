"""What is read of a study's folders, and the sums that the tables are made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import spearmanr

from tests.train.figures.made_up import check_written
from tests.train.study.made_up_study import GAIN, PLAN, write_study
from train.paper_results import paper_tables
from train.runner.costs import Cost, note_cost
from train.study.findings import Findings, find
from train.study.page import comparison, draws_line, markdown, ranking_table
from train.study.pictures import draw
from train.study.plan import ALONE
from train.study.ranking import rank_correlation, ranking
from train.study.systems import PRETRAINED, SPECTRUM, SUPERVISED, UNTRAINED, scores_folder


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
    assert rank_correlation(findings) == pytest.approx(expected)


def test_costs_are_of_all_tries_of_all_seeds(tmp_path: Path) -> None:
    out = write_study(tmp_path)
    for seed, seconds in enumerate((30.0, 90.0)):
        note_cost(out / PRETRAINED / f"seed-{seed}", Cost("training", seconds, seconds))
    note_cost(scores_folder(out, SUPERVISED, 0, 10.0, 0), Cost("training", 60.0, 60.0))
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
    assert "## By tag" in text


def test_pictures_show_every_seed(findings: Findings, tmp_path: Path) -> None:
    drawn = draw(findings, tmp_path / "pictures")
    assert [path.name for path in drawn] == ["ranking.png", "labels.png"]
    rows = check_written(tmp_path / "pictures", "ranking")["rows"]
    assert len(rows) == 2 * len(ALONE)  # the chain, and all but crops, of two seeds
    assert draw(find(PLAN, tmp_path / "nothing"), tmp_path / "nothing") == []
