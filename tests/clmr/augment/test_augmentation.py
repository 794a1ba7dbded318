"""What every function of audio and parameters refuses, and that nothing else is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from clmr.augment import (
    Delay,
    Filter,
    Gain,
    Noise,
    Polarity,
    add_noise,
    delay,
    first_order_filter,
    gain,
    invert_polarity,
    sinc_filter,
)
from clmr.augment.augmentation import Augmentation, check_parameter, check_range
from clmr.errors import ConfigError
from tests.clmr.augment.signals import noise

ROWS = 4
DB = torch.full((ROWS,), -6.0)
HZ = torch.full((ROWS,), 1000.0)
HIGH = torch.tensor([True, False, True, False])
WHOLE = torch.arange(ROWS)

FUNCTIONS: dict[str, tuple[Callable[..., Tensor], dict[str, Tensor]]] = {
    "invert_polarity": (invert_polarity, {}),
    "gain": (gain, {"db": DB}),
    "add_noise": (add_noise, {"snr_db": DB, "keys": WHOLE}),
    "first_order_filter": (lambda x, hz, high: first_order_filter(x, hz, high, 8000), {"hz": HZ, "high": HIGH}),
    "sinc_filter": (lambda x, hz, high: sinc_filter(x, hz, high, 8000, 200), {"hz": HZ, "high": HIGH}),
    "delay": (delay, {"frames": WHOLE}),
}
PARAMETERS = [(name, parameter) for name, (_, parameters) in FUNCTIONS.items() for parameter in parameters]


def refusal(call: Callable[[], object]) -> str:
    """The message of the error, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int16, torch.complex64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_refuses_other_dtypes(name: str, dtype: torch.dtype) -> None:
    function, parameters = FUNCTIONS[name]
    audio = noise(ROWS, 50).to(dtype)
    message = refusal(lambda: function(audio, **parameters))
    assert message.startswith(f"{name} takes float32 or float64 audio [N, 1, T], got {dtype} [4, 1, 50]; convert ")
    assert ("with .float()" in message) == dtype.is_floating_point


@pytest.mark.parametrize("shape", [(), (50,), (ROWS, 50), (ROWS, 2, 50), (ROWS, 0, 50), (ROWS, 1, 50, 1)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_refuses_other_shapes(name: str, shape: tuple[int, ...]) -> None:
    function, parameters = FUNCTIONS[name]
    message = refusal(lambda: function(torch.zeros(shape), **parameters))
    assert f"{name} takes float32 or float64 audio [N, 1, T], got torch.float32 {list(shape)}" in message


@pytest.mark.parametrize("shape", [(), (1,), (ROWS - 1,), (ROWS + 1,), (ROWS, 1)])
@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_refuses_other_than_a_value_per_row(name: str, parameter: str, shape: tuple[int, ...]) -> None:
    function, parameters = FUNCTIONS[name]
    wrong = torch.ones(shape, dtype=parameters[parameter].dtype)
    message = refusal(lambda: function(noise(ROWS, 50), **{**parameters, parameter: wrong}))
    assert message == f"{parameter} must have one value per row of audio, [4], got {list(shape)}"


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_refuses_parameters_of_another_kind(name: str, parameter: str) -> None:
    function, parameters = FUNCTIONS[name]
    others = {
        torch.float32: (torch.bool, torch.complex64),
        torch.int64: (torch.float32, torch.float64, torch.bool),
        torch.bool: (torch.float32, torch.int64),
    }
    for dtype in others[parameters[parameter].dtype]:
        wrong = partial(function, noise(ROWS, 50), **{**parameters, parameter: parameters[parameter].to(dtype)})
        kind = {"high": "bool", "keys": "integers", "frames": "integers"}.get(parameter, "real numbers")
        assert refusal(wrong) == f"{parameter} must be {kind}, got {dtype}"


@pytest.mark.parametrize("parameter", ["hz", "db", "snr_db"])
def test_computes_parameters_in_float64_whatever_they_are(parameter: str) -> None:
    given = torch.tensor([3, 700, 40])
    for dtype in (torch.int32, torch.float16, torch.float32, torch.float64):
        got = check_parameter(parameter, given.to(dtype), 3)
        assert got.dtype == torch.float64
        assert torch.equal(got, given.double())
    assert check_parameter("frames", given.int(), 3, torch.int64).dtype == torch.int64


def test_a_gradient_reaches_a_parameter() -> None:
    db = DB.clone().requires_grad_()
    gain(noise(ROWS, 50), db).sum().backward()
    assert db.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "frames"), [(0, 50), (ROWS, 0), (0, 0)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_comes_of_nothing(name: str, rows: int, frames: int, dtype: torch.dtype) -> None:
    function, parameters = FUNCTIONS[name]
    audio = torch.empty(rows, 1, frames, dtype=dtype)
    result = function(audio, **{parameter: values[:rows] for parameter, values in parameters.items()})
    assert (result.shape, result.dtype) == (audio.shape, dtype)
    assert result is not audio


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_second_sample_of_others_audio(name: str) -> None:
    """Audio need not lie in one piece of memory."""
    function, parameters = FUNCTIONS[name]
    audio = noise(2 * ROWS, 101)[::2, :, ::2]
    assert torch.equal(function(audio, **parameters), function(audio.contiguous(), **parameters))


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ((1.0, 0.0), "low <= high,"),
        ((float("-inf"), 0.0), "low <= high,"),
        ((0.0, float("inf")), "low <= high,"),
        ((float("nan"), 0.0), "low <= high,"),
        ((0.0, float("nan")), "low <= high,"),
        ((-1.5, 0.0), "low <= high, low >= -1, high <= 2,"),
        ((0.0, 2.5), "low <= high, low >= -1, high <= 2,"),
    ],
)
def test_refuses_ranges(bounds: tuple[float, float], allowed: str) -> None:
    limits = (-1.0, 2.0) if "2" in allowed else ()
    message = refusal(lambda: check_range("gain.db", bounds, *limits))
    assert message == f"gain.db must be a finite (low, high) with {allowed} got {bounds}"


def test_takes_ranges_with_their_ends() -> None:
    check_range("gain.db", (-1, 2), -1, 2)
    check_range("gain.db", (0, 0))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_torchs_default_device_does_not_matter(name: str) -> None:
    """What is made on the host says so."""
    function, parameters = FUNCTIONS[name]
    audio = noise(ROWS, 1000)
    expected = function(audio, **parameters)
    with torch.device("meta"):
        assert torch.equal(function(audio, **parameters), expected)


@pytest.mark.parametrize("operation", [Polarity(), Noise(), Gain(), Filter(), Delay()])
def test_draws_stay_on_the_host(operation: Augmentation) -> None:
    with torch.device("meta"):
        columns = operation.draw(WHOLE)
    assert {values.device.type for values in columns.values()} <= {"cpu"}
