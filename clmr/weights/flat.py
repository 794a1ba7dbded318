"""The safetensors format, read and written: a header in JSON, then the tensors' bytes one after the other.

8 bytes             length of the header, unsigned, little-endian
header              {name: {"dtype", "shape", "data_offsets": [begin, end]}}, padded with spaces
the rest            the tensors, contiguous and little-endian, without gaps
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes, the format's own limit


def looks_flat(data: bytes) -> bool:
    """Whether the bytes begin as the format does."""
    return len(data) > 9 and 2 <= int.from_bytes(data[:8], "little") <= len(data) - 8 and data[8:9] == b"{"


def encode(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The file's bytes; the same tensors give the same bytes."""
    header: dict[str, Any] = {"__metadata__": metadata}
    parts, end = [], 0
    # The largest items first, so that every tensor begins at a multiple of its item size; by name within one size.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        part = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        begin, end = end, end + len(part)
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        parts.append(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(data: bytes) -> dict[str, Tensor]:
    """The tensors of a file's bytes.

    Raises:
        ValueError: the bytes are not of this format, or the header does not fit them.
    """
    length = int.from_bytes(data[:8], "little")
    if not looks_flat(data) or length > LONGEST_HEADER:
        raise ValueError("no safetensors header")
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            tensors[name] = _tensor(name, entry, body)
    return tensors


def _tensor(name: str, entry: Any, body: memoryview) -> Tensor:
    try:
        dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        fits = (
            all(type(size) is int and size >= 0 for size in (*shape, begin, end))
            and begin <= end <= len(body)
            and end - begin == math.prod(shape) * dtype.itemsize
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the header's entry {name} is malformed or of an unknown dtype") from error
    if not fits:
        raise ValueError(f"the header's entry {name} does not fit the file's length")
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(body[begin:end]), dtype=dtype).reshape(shape)
