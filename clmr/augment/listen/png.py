"""A PNG of few colours: one byte a pixel and a palette, a third of the size of one with a colour in every pixel."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE = 3  # type of colour in the header


def palette_png(pixels: npt.NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> bytes:
    """The file's bytes.

    Args:
        pixels: numbers of colours, shape ``[height, width]``, upper row first.
        colours: red, green and blue of each, 0 to 255; at most 256 of them.
    """
    height, width = pixels.shape
    # Every row begins with the number of its filter: 0, the bytes as they are.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, PALETTE, 0, 0, 0)
    chunks = {
        b"IHDR": header,
        b"PLTE": bytes(part for colour in colours for part in colour),
        b"IDAT": zlib.compress(rows.tobytes(), 9),
        b"IEND": b"",
    }
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks.items())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
