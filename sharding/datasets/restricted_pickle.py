"""Pickles of strangers, read without running anything of theirs.

A pickle is a program that may call any function. This reader knows lists, dicts, texts, numbers and the few names that
numpy writes for an array; for those it hands out stand-ins of its own, so that not even numpy sees unchecked data.
Every other name is refused before it is imported.
"""

from __future__ import annotations

import io
import pickle
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clmr.errors import SourceError

PLAIN_TYPE = re.compile(r"[biuf][1248]")  # booleans, integers and floats, by their numpy code: no objects, no records


def load_pickle(data: bytes, where: str) -> Any:
    """What a pickle holds, Python 2's included, whose texts are read as Latin-1.

    Args:
        data: the file.
        where: its address, for messages.

    Returns:
        Lists, tuples, dicts, texts, bytes, numbers, None, and arrays of numbers, nested in any way.

    Raises:
        SourceError: the pickle names anything else, or is damaged.
    """
    try:
        return _unwrap(_Reader(io.BytesIO(data), encoding="latin1").load(), {})
    except _ForbiddenError as error:
        raise SourceError(
            f"{where}: this pickle asks for {error}, which a list of tracks or tags never needs; "
            f"do not open it with anything else, and get the file again from where it is published"
        ) from error
    except Exception as error:  # damaged pickles raise errors of any kind
        raise SourceError(f"{where}: not a complete pickle ({type(error).__name__}); get it again") from error


class _ForbiddenError(Exception):
    """A name outside the few that are known."""


@dataclass(slots=True)
class _Type:
    """Stand-in for ``numpy.dtype``."""

    code: str
    order: str = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def read(self, data: str | bytes) -> npt.NDArray[Any]:
        """The numbers in raw bytes, which Python 2 pickled as text."""
        raw = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(raw, np.dtype(self.order + self.code))


class _Array:
    """Stand-in for ``numpy.ndarray``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: npt.NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Type):
            raise pickle.UnpicklingError("an array without a type")
        self.value = dtype.read(data).reshape(shape, order="F" if fortran else "C")


class _Known:
    """What a known name gives: to be called, and to be changed by nobody."""

    __slots__ = ()


class _MakeArray(_Known):
    __slots__ = ()

    def __call__(self, *_: object) -> _Array:
        return _Array()


class _MakeType(_Known):
    __slots__ = ()

    def __call__(self, code: str, *_: object) -> _Type:
        if not PLAIN_TYPE.fullmatch(code):
            raise _ForbiddenError(f"arrays of type {code}")
        return _Type(code)


class _MakeNumber(_Known):
    __slots__ = ()

    def __call__(self, dtype: _Type, data: str | bytes) -> Any:
        return dtype.read(data)[0].item()


class _MakeBytes(_Known):
    """Stand-in for ``_codecs.encode``: how Python 3 writes bytes for Python 2."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise _ForbiddenError(f"the codec {encoding}")
        return text.encode("latin1")


class _ArrayClass(_Known):
    """Stand-in for the class ``numpy.ndarray`` itself, an argument of what makes arrays."""

    __slots__ = ()


KNOWN = {
    **{(f"{core}.multiarray", "_reconstruct"): _MakeArray() for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): _MakeNumber() for core in ("numpy.core", "numpy._core")},
    ("numpy", "dtype"): _MakeType(),
    ("numpy", "ndarray"): _ArrayClass(),
    ("_codecs", "encode"): _MakeBytes(),
}


class _Reader(pickle.Unpickler):
    """The standard machine, with these names only."""

    def find_class(self, module: str, name: str, /) -> _Known:
        if (module, name) not in KNOWN:
            raise _ForbiddenError(f"{module}.{name}")
        return KNOWN[module, name]


def _unwrap(value: object, done: dict[int, tuple[object, object] | None]) -> object:
    """The value with stand-ins replaced by what they stand for.

    ``done`` holds what was unwrapped before, with the original, by its id: a value may be referred to many times. None
    stands for what is being unwrapped.
    """
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, (dict, list, tuple)) and id(value) in done:
        known = done[id(value)]
        if known is None:
            raise pickle.UnpicklingError("a value that contains itself")
        return known[1]
    if isinstance(value, (dict, list, tuple)):
        done[id(value)] = None
        unwrapped: object = value
        if isinstance(value, dict):
            for key, held in value.items():
                value[key] = _unwrap(held, done)
        elif isinstance(value, list):
            value[:] = [_unwrap(held, done) for held in value]
        else:
            unwrapped = tuple(_unwrap(held, done) for held in value)
        done[id(value)] = value, unwrapped
        return unwrapped
    if isinstance(value, (_Known, _Type)):
        raise pickle.UnpicklingError("a class instead of a value")
    return value
