"""The fused training pass computes what the plain one does, and keeps the convolutions' outputs alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from clmr import ContrastiveModel, Projector, SampleCNN, crop_frames
from clmr.encoder import POOLS, QUARTERS
from clmr.errors import ConfigError
from clmr.fused import Convolution, features
from clmr.pooling import Part, empty_activations, gradient, gradient_sums, pooled
from tests.tolerances import FLOAT64

RATES = (22050, 16000, 8000)


@pytest.fixture(params=["rows apart", "rows together"])
def part_size(request: pytest.FixtureRequest) -> Iterator[None]:
    """The batch in parts that split groups, or in one."""
    with patch("clmr.layerwise.PART_ON_CPU", 60_000 if request.param == "rows apart" else 2**30):
        yield


def twins(sample_rate: int, dtype: torch.dtype = torch.float64) -> tuple[SampleCNN, SampleCNN]:
    """Plain and fused, with arbitrary parameters, negative norm scales and a zero among them."""
    torch.manual_seed(0)
    plain = SampleCNN(sample_rate, width=16).to(dtype)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
            if name.endswith("1.weight"):
                parameter[:2] = torch.tensor([-0.8, 0.0])
    fused = copy.deepcopy(plain)
    fused.fused = True
    return plain, fused


def crops(sample_rate: int, rows: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Noise of uneven level with an offset; the last row is constant, so that all its windows are of equal values."""
    level = torch.logspace(-2, 0, rows, dtype=dtype)[:, None, None]
    audio = level * torch.randn(rows, 1, crop_frames(sample_rate), dtype=dtype) + 0.05
    audio[-1] = 0.3
    return audio


def train(encoder: nn.Module, audio: Tensor, weight: Tensor, **given: int) -> tuple[Tensor, list[Tensor], Tensor]:
    """Features, gradients of the parameters, gradient of the audio."""
    audio = audio.clone().requires_grad_()
    features = encoder(audio, **given)
    (features * weight).sum().backward()
    gradients = [parameter.grad for parameter in encoder.parameters()]
    assert audio.grad is not None
    return features.detach(), [found for found in gradients if found is not None], audio.grad


def assert_close(got: list[Tensor], expected: list[Tensor], tolerance: float = FLOAT64) -> None:
    """Relative to each tensor's own largest number, or a thousandth of the largest of all."""
    largest = max(tensor.abs().max().item() for tensor in expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert (a - b).abs().max() <= tolerance * max(b.abs().max().item(), 1e-3 * largest)


@pytest.mark.usefixtures("part_size")
@pytest.mark.parametrize(("sample_rate", "groups"), [(22050, 1), (22050, 2), (16000, 2), (8000, 1)])
def test_same_function_gradients_and_statistics(sample_rate: int, groups: int) -> None:
    plain, fused = twins(sample_rate)
    audio, weight = crops(sample_rate, rows=6), torch.randn(6, 16, dtype=torch.float64)
    expected, found = (train(encoder, audio, weight, groups=groups) for encoder in (plain, fused))
    assert len(expected[1]) == len(found[1]) == 44
    assert_close([found[0]], [expected[0]])
    assert_close(found[1], expected[1])
    assert_close([found[2]], [expected[2]])
    assert int(fused.state_dict()["sequential.5.1.num_batches_tracked"]) == groups
    assert_close(list(fused.buffers()), list(plain.buffers()))
    assert torch.equal(fused.eval()(audio), fused(audio, groups=groups))
    assert_close([fused(audio)], [plain.eval()(audio)])


def test_other_gradient_rules_would_be_seen() -> None:
    """Of the backward pass: statistics held fixed, or the ReLU left out."""
    plain, fused = twins(8000)
    audio, weight = crops(8000, rows=4), torch.randn(4, 16, dtype=torch.float64)
    expected = train(plain, audio, weight)[1]

    def unrectified(g: Tensor, x: Tensor) -> Tensor:
        return g

    def fixed(sums: Tensor) -> Tensor:
        return 0 * sums

    for name, mistake in (("clmr.pooling._rectified", unrectified), ("clmr.layerwise.sum_over_ranks", fixed)):
        with patch(name, mistake), pytest.raises(AssertionError):
            assert_close(train(copy.deepcopy(fused), audio, weight)[1], expected)


@pytest.mark.parametrize("pool", [1, 2, 3, 5])
def test_gradient_of_one_layer(pool: int) -> None:
    """Against autograd's own, in every channel: equal values in windows, scales of both signs, and zero; 0 itself."""
    torch.manual_seed(0)
    y = (2 * torch.randn(4, 3, 1, 17, dtype=torch.float64)).round().contiguous(memory_format=torch.channels_last)
    mean, scale, beta = torch.zeros(3), torch.tensor([1.5, -0.5, 0.0]), torch.tensor([0.0, 1.0, 0.25])
    affine = torch.stack([mean, scale, beta])[:, None].double()
    g = torch.randn(4, 3, 1, 17 // pool, dtype=torch.float64)
    leaf = y.clone().requires_grad_()
    h = leaf * scale.double()[:, None, None] + beta.double()[:, None, None]
    h.retain_grad()
    x = torch.relu(torch.max_pool2d(h, (1, pool)))
    (x * g).sum().backward()
    assert leaf.grad is not None
    assert h.grad is not None
    part, out = Part(y, 0, 4), empty_activations(y, 4, 3, 17 // pool)
    pooled(part, affine, pool, out)
    assert torch.equal(out, x)
    sum_g, sum_gc = gradient_sums(part, affine, g, pool)
    torch.testing.assert_close(sum_g[0], h.grad.sum(dim=(0, 2, 3)), rtol=FLOAT64, atol=FLOAT64)
    torch.testing.assert_close(sum_gc[0], (h.grad * y).sum(dim=(0, 2, 3)), rtol=FLOAT64, atol=FLOAT64)
    dy = gradient(part, affine, torch.zeros(2, 1, 3).double(), g, pool)
    torch.testing.assert_close(dy, leaf.grad, rtol=FLOAT64, atol=FLOAT64)


def test_explicit_gradient() -> None:
    """Of the whole chain of three layers, for every parameter; two groups, in parts of one row."""
    torch.manual_seed(0)
    audio = torch.randn(4, 1, 24, dtype=torch.float64)
    shapes = [(2, 2, 4), *((3, 2 if layer == 0 else 3, 3) for layer in range(3)), *[(3,)] * 6]
    inputs = [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes]

    def encoded(audio: Tensor, folded: Tensor, *parameters: Tensor) -> Tensor:
        layers = zip(parameters[:3], parameters[3:6], parameters[6:], (2, 3, 1), strict=True)
        convolutions = [Convolution(w, torch.zeros(3), gamma, beta, 1e-5, pool) for w, gamma, beta, pool in layers]
        return features(audio, folded, convolutions, 2, torch.float64)[0]

    with patch("clmr.layerwise.PART_ON_CPU", 1):
        assert torch.autograd.gradcheck(encoded, (audio.requires_grad_(), *inputs))


def kept(encoder: SampleCNN, dtype: torch.dtype) -> int:
    """Bytes a view that the graph holds of activations: of storages, each once, that grow with the batch."""

    def held(rows: int) -> int:
        sizes: dict[int, int] = {}
        audio = torch.randn(rows, 1, encoder.crop_frames)
        parameters = {parameter.data_ptr() for parameter in encoder.parameters()}

        def look(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters | {audio.data_ptr()}:
                alive.append(tensor)
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        alive: list[Tensor] = []  # or another storage could come to its place
        mixed = torch.autocast("cpu", dtype) if dtype != torch.float32 else nullcontext()
        with mixed, torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
            features = encoder(audio)
        assert features.requires_grad
        return sum(sizes.values())

    return held(3) - held(2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sample_rate", RATES)
def test_keeps_the_outputs_of_the_convolutions_alone(sample_rate: int, dtype: torch.dtype) -> None:
    frames, numbers = crop_frames(sample_rate) // 3, 0
    for quarters, pool, kernel in zip(QUARTERS[1:], (*POOLS[sample_rate], 1), (*POOLS[sample_rate], 3), strict=True):
        frames += 3 - kernel
        numbers += quarters * 16 // 4 * frames
        frames //= pool
    assert frames == 1
    plain, fused = twins(sample_rate, torch.float32)
    assert kept(fused, dtype) == numbers * dtype.itemsize
    assert kept(plain, dtype) > 3 * numbers * dtype.itemsize


def test_bfloat16_autocast_is_as_near_float32_as_the_plain_pass() -> None:
    plain, fused = twins(8000, torch.float32)
    audio, weight = torch.randn(24, 1, 20736), torch.randn(24, 16)
    features, exact, _ = train(copy.deepcopy(plain), audio, weight)

    def distances(encoder: SampleCNN) -> tuple[float, float]:
        with torch.autocast("cpu", torch.bfloat16):
            found = encoder(audio)
        assert found.dtype == torch.bfloat16
        (found.float() * weight).sum().backward()
        gradient = torch.cat(
            [parameter.grad.flatten() for parameter in encoder.parameters() if parameter.grad is not None]
        )
        expected = torch.cat([part.flatten() for part in exact])
        return ((found - features).norm() / features.norm()).item(), (
            (gradient - expected).norm() / expected.norm()
        ).item()

    for own, theirs in zip(distances(fused), distances(plain), strict=True):
        assert own < 1.2 * theirs


def test_model_and_its_copy() -> None:
    """Both views, statistics of each; a deep copy stays fused, and the state dict does not tell."""
    views = torch.stack([crops(8000, rows=2), 0.3 * crops(8000, rows=2)])
    plain, fused = (ContrastiveModel(encoder, Projector(16).double()) for encoder in twins(8000))
    fused.projector = copy.deepcopy(plain.projector)
    twin = copy.deepcopy(fused)
    assert twin.encoder.fused
    assert list(fused.state_dict()) == list(plain.state_dict())
    assert_close([twin(views).detach()], [plain(views).detach()])
    assert_close(list(twin.buffers()), list(plain.buffers()))


def test_a_frozen_norm_takes_the_plain_pass() -> None:
    plain, fused = twins(8000)
    for encoder in (plain, fused):
        encoder.sequential[3].eval()
    audio = crops(8000, rows=2)
    assert torch.equal(plain(audio), fused(audio))


def test_refuses_one_crop() -> None:
    with pytest.raises(ConfigError, match="2 crops or more"):
        twins(8000)[1](crops(8000, rows=2), groups=2)
