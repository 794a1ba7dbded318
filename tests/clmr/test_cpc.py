"""CPC: its loss against a double loop, its draws against what they promise, its shapes against the paper's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clmr.cpc import CPC, CpcFeatures, draw_negatives, info_nce, latent_count, load_features
from clmr.cpc.encoder import LAYERS
from clmr.cpc.features import describe
from clmr.cpc.loss import prediction_weights
from clmr.draw import make_keys
from clmr.errors import ConfigError, ResumeError

ROWS, LATENTS, WIDTH, STEPS, NEGATIVES = 3, 7, 4, 3, 5


def keys(tracks: list[int], seed: int = 0, epoch: int = 0) -> Tensor:
    return torch.from_numpy(make_keys(seed, epoch, tracks, [0])[:, 0])


def example(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(ROWS, LATENTS, WIDTH, generator=generator, dtype=dtype)
    predictions = torch.randn(ROWS, LATENTS - 1, STEPS, WIDTH, generator=generator, dtype=dtype)
    return z, predictions, draw_negatives(keys([4, 9, 2]), LATENTS, STEPS, NEGATIVES)


def by_hand(z: Tensor, predictions: Tensor, negatives: Tensor) -> tuple[float, float]:
    """Equation 4 of van den Oord et al. word by word, and the share of predictions that are right."""
    pool = z.reshape(-1, WIDTH)
    losses, rights = [], []
    for k in range(1, STEPS + 1):
        of_this_k, right_of_this_k = [], []
        for row in range(ROWS):
            for t in range(LATENTS - k):
                wc = predictions[row, t, k - 1]
                positive = math.exp(float(wc @ z[row, t + k]))
                others = [math.exp(float(wc @ pool[number])) for number in negatives[row, t].tolist()]
                of_this_k.append(-math.log(positive / (positive + sum(others))))
                right_of_this_k.append(positive > max(others))
        losses.append(sum(of_this_k) / len(of_this_k))
        rights.append(sum(right_of_this_k) / len(right_of_this_k))
    return sum(losses) / STEPS, sum(rights) / STEPS


def test_the_loss_is_the_double_loops() -> None:
    z, predictions, negatives = example()
    outcome = info_nce(z, predictions, negatives)
    loss, accuracy = by_hand(z, predictions, negatives)
    assert outcome.loss.item() == pytest.approx(loss, rel=1e-12)
    assert outcome.accuracy.item() == pytest.approx(accuracy, rel=1e-12)
    assert 0 < accuracy < 1


def test_the_gradients_are_those_of_differences() -> None:
    z, predictions, negatives = example()
    inputs = (z.requires_grad_(), predictions.requires_grad_())
    assert torch.autograd.gradcheck(lambda z, p: info_nce(z, p, negatives).loss, inputs)


def test_what_lies_beyond_the_end_counts_for_nothing() -> None:
    z, predictions, negatives = example()
    before = info_nce(z, predictions, negatives)
    beyond = prediction_weights(LATENTS - 1, STEPS) == 0
    assert beyond.sum() == STEPS * (STEPS - 1) / 2
    predictions = predictions.masked_fill(beyond[None, :, :, None], 1e3).requires_grad_()
    after = info_nce(z, predictions, negatives)
    assert after.loss.item() == before.loss.item()
    assert after.accuracy.item() == before.accuracy.item()
    (gradient,) = torch.autograd.grad(after.loss, predictions)
    assert not gradient[:, beyond].any()
    assert gradient[:, ~beyond].abs().amax(dim=2).all()


def test_equal_scores_give_the_log_of_their_number() -> None:
    z, predictions, negatives = example()
    assert info_nce(z, 0 * predictions, negatives).loss.item() == pytest.approx(math.log(1 + NEGATIVES))


def test_a_batch_is_the_mean_of_its_rows() -> None:
    z, predictions, negatives = example()
    alone = []
    for row in range(ROWS):  # the others' latents stay in reach as rows that nothing is predicted in
        each = torch.zeros(ROWS, 1, 1, 1, dtype=torch.float64)
        each[row] = 1
        flat = math.log(1 + NEGATIVES) * (ROWS - 1)
        alone.append(info_nce(z, predictions * each, negatives).loss.item() * ROWS - flat)
    assert info_nce(z, predictions, negatives).loss.item() == pytest.approx(sum(alone) / ROWS, rel=1e-12)


def test_half_precision_is_scored_in_float32() -> None:
    z, predictions, negatives = example(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(z, predictions, negatives).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(z.double(), predictions.double(), negatives)[0], rel=1e-5)


# --- negatives


def test_negatives_are_never_positives_of_their_context_and_anything_else() -> None:
    rows, latents, steps = 2, 4, 2
    drawn = draw_negatives(keys(list(range(rows))), latents, steps, 4000)
    for row in range(rows):
        for t in range(latents - 1):
            positives = {row * latents + t + k for k in range(1, steps + 1) if t + k < latents}
            counts = np.bincount(drawn[row, t], minlength=rows * latents)
            allowed = [number for number in range(rows * latents) if number not in positives]
            assert not counts[list(positives)].any()
            expected = 4000 / len(allowed)
            # chi-squared of at most 7 degrees of freedom: above 30 once in 10,000
            assert sum((counts[number] - expected) ** 2 / expected for number in allowed) < 30


def test_draws_do_not_depend_on_ranks() -> None:
    tracks = [5, 8, 1, 30]
    whole = draw_negatives(keys(tracks), 9, 4, 6)
    parts = [draw_negatives(keys(tracks[i : i + 2]), 9, 4, 6, sequences=4, first=i) for i in (0, 2)]
    assert torch.equal(torch.cat(parts), whole)


def test_more_negatives_or_latents_keep_the_random_numbers() -> None:
    """In a batch so large that stepping over the positives does not show."""
    few, many = (draw_negatives(keys([3]), latents, 2, 4, sequences=2**40 // latents) for latents in (8, 16))
    torch.testing.assert_close(few.double() / 2**40, many[:, :7].double() / 2**40, rtol=0, atol=1e-9)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"tracks": [8]}])
def test_draws_depend_on_seed_epoch_and_track(change: dict[str, int]) -> None:
    plain = draw_negatives(keys([7]), 20, 2, 5, sequences=64)
    other = draw_negatives(keys(**{"tracks": [7], **change}), 20, 2, 5, sequences=64)  # type: ignore[arg-type]  # a table of arguments
    assert (plain != other).double().mean() > 0.9
    assert torch.equal(plain, draw_negatives(keys([7]), 20, 2, 5, sequences=64))


# --- model


def test_latents_are_counted_as_torch_counts() -> None:
    convolutions = nn.Sequential(*(nn.Conv1d(1, 1, *layer) for layer in LAYERS))
    shortest = next(frames for frames in range(1, 711) if latent_count(frames))
    for frames in (59049, 43740, 20736, 20480, 711, 710, shortest):
        assert latent_count(frames) == convolutions(torch.zeros(1, 1, frames)).shape[2]
    with pytest.raises(RuntimeError, match=r"too small|greater than actual input size"):
        convolutions(torch.zeros(1, 1, shortest - 1))
    assert latent_count(59049) == 124


def test_the_papers_sizes() -> None:
    model = CPC()
    shapes = [(block.conv.in_channels, block.conv.out_channels) for block in model.encoder]  # type: ignore[union-attr]  # blocks have conv
    assert shapes == [(1, 512)] + [(512, 512)] * 6
    assert tuple(zip(*LAYERS, strict=True))[:2] == ((10, 6, 4, 4, 4, 2, 2), (5, 3, 2, 2, 2, 2, 2))
    assert model.recurrence.hidden_size == 256
    assert model.predictor.weight.shape == (20 * 512, 256)
    assert sum(parameter.numel() for parameter in model.parameters()) == 8988672


def small(*, batch_norm: bool = False) -> CPC:
    torch.manual_seed(0)
    return CPC(width=6, context=5, steps=3, batch_norm=batch_norm).double()


def test_predictions_are_linear_maps_of_the_context() -> None:
    model, audio = small(), torch.randn(2, 1, 4000, dtype=torch.float64)
    z, predictions = model(audio)
    same_z, c = model.latents_and_contexts(audio)
    assert z.shape == (2, latent_count(4000), 6)
    assert torch.equal(z, same_z)
    assert predictions.shape == (2, z.shape[1] - 1, 3, 6)
    for k in range(3):
        torch.testing.assert_close(predictions[1, 4, k], model.predictor.weight[6 * k : 6 * k + 6] @ c[1, 4])


def test_contexts_know_the_past_only() -> None:
    model, audio = small(), torch.randn(1, 1, 6000, dtype=torch.float64)
    z, c = model.latents_and_contexts(audio)
    other = audio.clone()
    other[..., 3000:] = 0
    other_z, other_c = model.latents_and_contexts(other)
    changed = int((z != other_z).any(dim=2).nonzero()[0, 1])
    assert 0 < changed < z.shape[1]
    torch.testing.assert_close(c[:, :changed], other_c[:, :changed], rtol=1e-12, atol=0)
    assert (c[:, changed:] != other_c[:, changed:]).any(dim=2).all()


def test_batch_norm_is_that_of_torch() -> None:
    model, audio = small(batch_norm=True), torch.randn(4, 1, 3000, dtype=torch.float64)
    block = model.encoder[0]
    y = torch.relu(nn.BatchNorm1d(6).double()(block.conv(audio)))  # type: ignore[operator]  # blocks have conv
    torch.testing.assert_close(block(audio), y, rtol=1e-9, atol=1e-12)
    model.eval()
    torch.testing.assert_close(model(audio)[1][:2], model(audio[:2])[1])


def test_features_are_the_mean_context_row_by_row() -> None:
    features, audio = CpcFeatures(small(), 8000), torch.randn(3, 1, 5000, dtype=torch.float64)
    _, c = features.cpc.latents_and_contexts(audio)
    assert features(audio).shape == (3, features.width) == (3, 5)
    torch.testing.assert_close(features(audio), c.sum(dim=1) / c.shape[1])
    torch.testing.assert_close(features(audio[1:2]), features(audio)[1:2], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_features_come_back_from_a_checkpoint(*, batch_norm: bool) -> None:
    model, audio = small(batch_norm=batch_norm).float(), torch.randn(2, 1, 3000)
    features = load_features({"encoder_config": describe(model, 8000), "model": model.state_dict()})
    assert features.sample_rate == 8000
    assert torch.equal(features(audio), CpcFeatures(model.eval(), 8000)(audio))


def test_other_weights_are_refused() -> None:
    with pytest.raises(ResumeError, match="weights of CPC"):
        load_features({"encoder_config": {"sample_rate": 8000, "width": 16}, "model": {}})
    with pytest.raises(ResumeError, match="do not fit"):
        load_features({"encoder_config": describe(small(), 8000), "model": {}})


def test_mistakes_are_named() -> None:
    z, predictions, negatives = example()
    with pytest.raises(ConfigError, match="context must be at least 1, got 0"):
        CPC(context=0)
    with pytest.raises(ConfigError, match="cut longer crops"):
        small()(torch.zeros(1, 1, 800, dtype=torch.float64))
    with pytest.raises(ConfigError, match="too short for one latent"):
        small().latents_and_contexts(torch.zeros(1, 1, 20, dtype=torch.float64))
    with pytest.raises(ConfigError, match="int16"):
        small()(torch.zeros(1, 1, 4000, dtype=torch.int16))
    with pytest.raises(ConfigError, match="do not fit"):
        info_nce(z[:, 1:], predictions, negatives)
    with pytest.raises(ConfigError, match=r"takes latents \[n, L, D\]"):
        info_nce(z[0], predictions, negatives)
    with pytest.raises(ConfigError, match="0 negatives"):
        draw_negatives(keys([1]), 5, 2, 0)
