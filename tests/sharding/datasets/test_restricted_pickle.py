"""Pickles of strangers: what Python 2 and numpy write is read, and nothing else happens, whatever the pickle says."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clmr.errors import SourceError
from sharding.datasets import restricted_pickle
from sharding.datasets.restricted_pickle import load_pickle
from tests.sharding.datasets.lookalike_msd import py2_array, vector

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_in_every_protocol(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assume(b"__builtin__" not in data)  # up to protocol 2, empty bytes are a call of `bytes`
    assert load_pickle(data, "x.pkl") == value


@pytest.mark.parametrize("protocol", range(5))  # protocol 5 names things that the published files do not need
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "i8", "u1", "?", ">i2"])
def test_arrays_and_numbers_of_numpy_are_read(protocol: int, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    value = {"a": [array, (array.T,)], "b": array[1, 2]}
    read = load_pickle(pickle.dumps(value, protocol), "x.pkl")
    assert read["a"][0].dtype == array.dtype
    np.testing.assert_array_equal(read["a"][0], array)
    np.testing.assert_array_equal(read["a"][1][0], array.T)
    assert read["b"] == array[1, 2]


def test_an_array_of_python_2_is_read() -> None:
    read = load_pickle((py2_array(7) + ".").encode(), "x.pkl")
    assert read.shape == (1, 50)
    assert read.ravel().tolist() == vector(7)


class Call:
    """Pickled as a call, which whoever unpickles it makes."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["system", "mkdir", "eval", "open", "getattr", "import"])
def test_nothing_runs(name: str, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    hostile = {
        "system": Call(os.system, f"touch {mark}"),
        "mkdir": Call(os.mkdir, str(mark)),
        "eval": Call(eval, f"open({str(mark)!r}, 'w')"),
        "open": Call(open, str(mark), "w"),
        "getattr": Call(getattr, "text", "upper"),
        "import": Call(__import__, "this"),
    }[name]
    with pytest.raises(SourceError, match=r"x\.pkl: this pickle asks for \w+\.\w+, which a list"):
        load_pickle(pickle.dumps(["TR", hostile], protocol), "x.pkl")
    assert not mark.exists()
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"(S'touch x'\nios\nsystem\n.", "asks for os.system"),  # INST
        (b"(cos\nsystem\nS'touch x'\no.", "asks for os.system"),  # OBJ
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.", "asks for os.system"),  # STACK_GLOBAL
        (b"cantigravity\nfly\n.", "asks for antigravity.fly"),
        (b"cnumpy\nload\n(S'x'\ntR.", "asks for numpy.load"),
        (b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.", "asks for numpy.core.multiarray"),
        (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.", "asks for arrays of type O8"),
        (b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.", "asks for arrays of type V8"),
        (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "asks for the codec rot13"),
        (b"cnumpy\ndtype\n.", "not a complete pickle"),  # a class instead of a value
        (b"\x82\x01.", "not a complete pickle"),  # an extension code
        (b"Pname\n.", "not a complete pickle"),  # a persistent id
        (b"", "not a complete pickle"),
        (b"(lp1\nS'TR", "not a complete pickle"),
        (b"<!DOCTYPE html>", "not a complete pickle"),
        (b"(lp1\ng1\na.", "not a complete pickle"),  # a list that holds itself
    ],
)
def test_everything_else_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=r"^x\.pkl: ") as refusal:
        load_pickle(data, "x.pkl")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("state", [b"}S'__call__'\nI1\ns", b"(N}S'__call__'\nI1\nst"])
@pytest.mark.parametrize("name", [b"numpy\ndtype", b"numpy\nndarray", b"_codecs\nencode"])
def test_a_pickle_cannot_change_the_reader(name: bytes, state: bytes) -> None:
    before = dict(vars(restricted_pickle))
    with pytest.raises(SourceError, match="not a complete pickle"):
        load_pickle(b"c" + name + b"\n" + state + b"b.", "x.pkl")
    assert dict(vars(restricted_pickle)) == before
    assert load_pickle((py2_array(7) + ".").encode(), "x.pkl").shape == (1, 50)


@given(data=st.binary(max_size=200))
def test_noise_is_refused_or_plain(data: bytes) -> None:
    try:
        load_pickle(data, "x.pkl")
    except SourceError as error:
        assert str(error).startswith("x.pkl: ")  # noqa: PT017 - noise may also be a value


def test_a_value_referred_to_many_times_is_read_once() -> None:
    value: object = ["x"]
    for _ in range(200):  # written out, this would be 2 ** 200 texts
        value = (value, value)
    read = load_pickle(pickle.dumps(value), "some.pkl")
    for _ in range(200):
        assert isinstance(read, tuple)
        assert read[0] is read[1]
        read = read[0]
    assert read == ["x"]
