"""Ogg files without the random serial number, so that the same music makes the same bytes (RFC 3533, section 6)."""

from __future__ import annotations

import struct
import zlib

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def set_serial(stream: bytes, serial: int) -> bytes:
    """The same Ogg stream with every page's serial number replaced and its checksum made anew.

    Args:
        stream: whole pages of one logical stream.
        serial: the number to put in, 0 to 2^32 - 1.
    """
    pages = bytearray(stream)
    start = 0
    while start < len(pages):
        # Header: "OggS", version, type, granule position (8), serial (4) at 14, sequence (4), checksum (4) at 22,
        # number of segments at 26, then one length byte per segment.
        segments = pages[start + 26]
        end = start + 27 + segments + sum(pages[start + 27 : start + 27 + segments])
        struct.pack_into("<I", pages, start + 14, serial)
        struct.pack_into("<I", pages, start + 22, 0)
        struct.pack_into("<I", pages, start + 22, checksum(bytes(pages[start:end])))
        start = end
    return bytes(pages)


def checksum(page: bytes) -> int:
    """CRC-32 as Ogg has it: the usual polynomial, but the highest bit first and nothing inverted.

    zlib's runs lowest bit first and inverts before and after: reverse the bits on both sides and invert back.
    """
    crc = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
