"""The encoder computes the plain Conv1d network, forward and backward, and says what it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from clmr.encoder import Block, SampleCNN, crop_frames
from clmr.errors import ConfigError
from tests.clmr.plain import plain_sample_cnn
from tests.tolerances import FLOAT32_NETWORK, FLOAT64

RATES = (22050, 16000, 8000)


def twins(sample_rate: int, width: int = 16) -> tuple[SampleCNN, nn.Sequential]:
    """An encoder with arbitrary parameters, negative norm scales among them, and its plain twin, in float64."""
    torch.manual_seed(0)
    encoder = SampleCNN(sample_rate, width).double()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    plain = plain_sample_cnn(sample_rate, width).double()
    plain.load_state_dict(encoder.sequential.state_dict())
    return encoder, plain


def crops(sample_rate: int, rows: int = 3) -> Tensor:
    """Noise with an offset and rows of uneven level."""
    level = torch.logspace(-2, 0, rows, dtype=torch.float64)[:, None, None]
    return level * torch.randn(rows, 1, crop_frames(sample_rate), dtype=torch.float64) + 0.05


def assert_equal(got: Iterable[Tensor], expected: Iterable[Tensor], tolerance: float = FLOAT64) -> None:
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * max(1, b.abs().max().item())


@pytest.mark.parametrize("sample_rate", RATES)
def test_equals_the_plain_network(sample_rate: int) -> None:
    encoder, plain = twins(sample_rate)
    audio = crops(sample_rate)
    features, expected = encoder(audio), plain(audio).flatten(1)
    assert_equal([features], [expected])
    weight = torch.randn_like(features)
    (features * weight).sum().backward()
    (expected * weight).sum().backward()
    assert_equal(gradients(encoder), gradients(plain))
    assert_equal(encoder.sequential.buffers(), plain.buffers())
    assert_equal([encoder.eval()(audio)], [plain.eval()(audio).flatten(1)])


def gradients(module: nn.Module) -> list[Tensor]:
    found = [parameter.grad for parameter in module.parameters()]
    assert None not in found
    return [gradient for gradient in found if gradient is not None]


def test_frozen_statistics_still_give_the_gradient() -> None:
    encoder, plain = twins(8000)
    audio = crops(8000)
    encoder.eval()(audio).square().sum().backward()
    plain.eval()(audio).square().sum().backward()
    assert_equal(gradients(encoder), gradients(plain))


def test_gradient_reaches_the_audio() -> None:
    encoder, plain = twins(8000)
    audio, same = crops(8000).requires_grad_(), crops(8000)
    same.data = audio.detach().clone()
    same.requires_grad_()
    encoder(audio)[:, 0].sum().backward()
    plain(same)[:, 0].sum().backward()
    assert audio.grad is not None
    assert same.grad is not None
    assert_equal([audio.grad], [same.grad])


def test_float32_is_near_float64() -> None:
    encoder, plain = twins(8000)
    audio = crops(8000)
    encoder.float()(audio.float()).square().mean().backward()
    plain(audio).square().mean().backward()
    for got, expected in zip(encoder.sequential, plain, strict=True):
        assert isinstance(got, Block)
        assert isinstance(expected, nn.Sequential)
        weight = expected[0].weight
        assert got.conv.weight.grad is not None
        assert isinstance(weight, Tensor)
        assert weight.grad is not None
        error = (got.conv.weight.grad - weight.grad).norm() / weight.grad.norm()
        assert error < FLOAT32_NETWORK


def test_quiet_and_offset_audio_keeps_its_statistics() -> None:
    """The stem's variance comes from the covariance of the samples; a large offset must not swallow it."""
    encoder, plain = twins(8000)
    audio = 1e-4 * crops(8000) + 0.9
    expected = plain(audio).flatten(1)
    assert_equal([encoder.float()(audio.float())], [plain.float()(audio.float()).flatten(1)], tolerance=1.0)
    assert_equal([encoder.double()(audio)], [expected], tolerance=1e-6)


def test_activations_stay_channels_last() -> None:
    """Torch would convert silently, at the price of a copy per layer."""
    encoder = SampleCNN(8000, width=16)
    seen: list[bool] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.extend(x.is_contiguous(memory_format=torch.channels_last) for x in (*inputs[1:], output))

    for block in encoder.sequential:
        block.register_forward_hook(look)
    for training in (True, False):
        encoder.train(training)(torch.randn(2, 1, 20736))
    assert len(seen) == 22
    assert all(seen)


@pytest.mark.parametrize("sample_rate", RATES)
def test_shapes_and_keys(sample_rate: int) -> None:
    encoder = SampleCNN(sample_rate, width=20)
    assert encoder(torch.zeros(2, 1, crop_frames(sample_rate))).shape == (2, 20)
    names = ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked")
    assert list(encoder.state_dict()) == [f"sequential.{layer}.{name}" for layer in range(11) for name in names]
    assert {key: value.shape for key, value in encoder.sequential.state_dict().items()} == {
        key: value.shape for key, value in plain_sample_cnn(sample_rate, 20).state_dict().items()
    }


def test_size_of_the_papers_encoder() -> None:
    assert sum(parameter.numel() for parameter in SampleCNN().parameters()) == 2_368_512
    assert [crop_frames(rate) for rate in RATES] == [59049, 43740, 20736]


def test_kaiming_initialisation() -> None:
    torch.manual_seed(0)
    for block in SampleCNN(8000, width=128).sequential:
        assert isinstance(block, Block)
        conv = block.conv
        bound = math.sqrt(6 / (conv.in_channels * conv.kernel_size[0]))  # gain sqrt(2), uniform: sqrt(3) std
        assert 0.95 * bound < conv.weight.abs().max() <= bound


def test_biases_before_a_norm_have_no_gradient() -> None:
    encoder = SampleCNN(8000, width=16)
    encoder(torch.randn(2, 1, 20736)).square().sum().backward()
    for block in list(encoder.sequential)[1:]:
        assert isinstance(block, Block)
        assert block.bias.grad is not None
        assert block.bias.grad.count_nonzero() == 0


def test_bfloat16_autocast_is_near_float32() -> None:
    torch.manual_seed(0)
    encoder = SampleCNN(8000, width=16)
    audio = torch.randn(4, 1, 20736)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(audio)
    whole = encoder(audio)
    assert half.dtype == torch.bfloat16
    assert torch.cosine_similarity(half.float().flatten(), whole.flatten(), dim=0) > 0.98


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 20736), "[1, 20736]"), ((1, 1, 20737), "[1, 1, 20737]"), ((1, 2, 20736), "[N, 1, 20736]")],
)
def test_refuses_other_shapes(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SampleCNN(8000, width=16)(torch.zeros(shape))
    assert said in str(caught.value)


def test_refuses_integers() -> None:
    with pytest.raises(ConfigError, match="from_int16"):
        SampleCNN(8000, width=16)(torch.zeros(1, 1, 20736, dtype=torch.int16))


def test_refuses_rates_and_widths() -> None:
    with pytest.raises(ConfigError, match="22050, 16000, 8000 Hz, got 44100"):
        SampleCNN(44100)
    for width in (0, 12, 18, -16):
        with pytest.raises(ConfigError, match=f"got {width}"):
            SampleCNN(8000, width=width)
