"""One, two and four real processes over gloo learn exactly what one learns from the whole batch without them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from tests.clmr.ranks import BROKEN, UNEVEN, WAYS, WORLDS, Outcome, run_rank, train
from tests.tolerances import FLOAT64

PAIRS = 8
World = list[dict[str, Outcome]]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, World]:
    """What each rank of each world found."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn(run_rank, (PAIRS, str(folder)), nprocs=max(WORLDS))
    return {
        world: [torch.load(Path(folder) / f"{world}-{rank}.pt", weights_only=True) for rank in range(world)]
        for world in WORLDS
    }


@pytest.fixture(params=WORLDS, ids=lambda world: f"{world} ranks")
def ranks(request: pytest.FixtureRequest, worlds: dict[int, World]) -> World:
    return worlds[request.param]


@pytest.fixture(params=[world for world in WORLDS if world > 1], ids=lambda world: f"{world} ranks")
def several_ranks(request: pytest.FixtureRequest, worlds: dict[int, World]) -> World:
    return worlds[request.param]


@pytest.fixture(scope="module")
def alone() -> dict[str, Outcome]:
    """Three steps of one process with the whole batch, by the statistics of batch norm."""
    return {statistics: train(PAIRS, steps=3, way=statistics) for statistics in ("view", "both")}


def assert_close(got: list[Tensor], expected: list[Tensor], tolerance: float = FLOAT64) -> None:
    """Every tensor agrees relative to its own largest number, or a thousandth of the largest of all."""
    largest = max(tensor.abs().max().item() for tensor in expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * max(b.abs().max().item(), 1e-3 * largest)


def assert_same_training(ranks: list[Outcome], alone: Outcome) -> None:
    """The check of this file: loss, gradient and weights are those of one process."""
    steps = len(ranks[0]["losses"])
    mean = [sum(rank["losses"][step] for rank in ranks) / len(ranks) for step in range(steps)]
    assert mean == pytest.approx(alone["losses"][:steps], rel=FLOAT64)
    for rank in ranks:
        assert_close(rank["gradient"], alone["gradient"])
        if steps == len(alone["losses"]):
            assert_close(rank["weights"], alone["weights"])
            assert_close(rank["buffers"], alone["buffers"])


@pytest.mark.parametrize("way", WAYS)
def test_same_training_as_alone(ranks: World, alone: dict[str, Outcome], way: str) -> None:
    """Every way over ranks against the plain one alone: two passes of the encoder, the whole matrix of similarities."""
    assert_same_training([rank[way] for rank in ranks], alone["both" if way == "both" else "view"])


def test_the_two_statistics_differ(ranks: World, alone: dict[str, Outcome]) -> None:
    """Or the switch would be without effect, and the test above blind to it."""
    with pytest.raises(AssertionError):
        assert_same_training([rank["view"] for rank in ranks], alone["both"])


@pytest.mark.parametrize("way", WAYS)
def test_buffers_are_the_same_on_every_rank(several_ranks: World, way: str) -> None:
    for rank in several_ranks[1:]:
        for mine, first in zip(rank[way]["buffers"], several_ranks[0][way]["buffers"], strict=True):
            assert torch.equal(mine, first)


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_gather_is_caught(several_ranks: World, alone: dict[str, Outcome], how: str) -> None:
    with pytest.raises(AssertionError):
        assert_same_training([rank[how] for rank in several_ranks], alone["view"])


@pytest.mark.parametrize("how", ["own slice", "detached", "norm's own gradient"])
def test_a_broken_gather_has_the_right_loss(several_ranks: World, alone: dict[str, Outcome], how: str) -> None:
    """Which is why a look at the loss does not do."""
    mean = sum(rank[how]["losses"][0] for rank in several_ranks) / len(several_ranks)
    assert mean == pytest.approx(alone["view"]["losses"][0], rel=FLOAT64)


def reference(ranks: list[Outcome], layer: str) -> tuple[nn.Sequential, Tensor, Tensor]:
    """Layers of torch itself on all rows together, in float64; also their output and the input, with gradient."""
    state = {key: value.double() for key, value in ranks[0]["state"].items()}
    x = torch.cat([rank["x"] for rank in ranks]).double().requires_grad_()
    channels = state["1.bias" if layer == "stem" else "bias"].shape[0]
    norm = nn.BatchNorm1d(channels).double()
    if layer == "stem":
        conv = nn.Conv1d(1, channels, 3, stride=3).double()
        layers = nn.Sequential(conv, norm)
        layers.load_state_dict(state)
    else:
        layers = nn.Sequential(norm)
        norm.load_state_dict(state)
    norm.reset_running_stats()
    y = layers(x if layer == "stem" else x.flatten(2) + 1)
    y = y.relu() if layer == "stem" else y
    weight = ranks[0]["weight"][: sum(UNEVEN[: len(ranks)])].flatten(2)
    (y * weight).sum().backward()
    return layers, y.detach(), x


@pytest.mark.parametrize(
    ("case", "tolerance"), [("norm", FLOAT64), ("stem", FLOAT64), ("norm, float32, far from zero", 1e-3)]
)
def test_uneven_batches(ranks: World, case: str, tolerance: float) -> None:
    """Rows 1, 4, 2 and 3 on the ranks: statistics weigh values, not ranks."""
    found = [rank[case] for rank in ranks]
    layers, y, x = reference(found, "stem" if case == "stem" else "norm")
    assert_close([torch.cat([rank["y"] for rank in found]).flatten(2)], [y], tolerance)
    assert x.grad is not None
    assert_close([torch.cat([rank["dx"] for rank in found])], [x.grad], tolerance)
    gradients = [parameter.grad for parameter in layers.parameters() if parameter.grad is not None]
    shares = zip(*(rank["gradient"] for rank in found), strict=True)
    assert_close([torch.stack(share).sum(dim=0) for share in shares], gradients, tolerance)
    for rank in found:
        assert_close(rank["buffers"][:2], list(layers.buffers())[:2], tolerance)
