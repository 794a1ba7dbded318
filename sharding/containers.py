"""Does a file end before its own header says? No decoder tells: libsndfile and ffmpeg quietly adjust the length.

    WAV, AIFF, AU   the size of the chunk of samples against the size of the file
    CAF             likewise
    Ogg             the last page has to be whole (RFC 3533, section 6)
    MP4, m4a        no top-level box of samples or of their index (moov, mdat, moof) may run over the end of the file
    ASF (WMA)       likewise the data object
    Matroska        likewise the segment
    Monkey's Audio  the sizes of its parts (version 3.98 and later)
    WavPack         the last block has to be whole
    FLAC, MP3       not here: ``decode`` compares the promised with the decoded length, for MP3 with ``sharding.mp3``

Ogg needs no end-of-stream flag: recordings of internet radio, cut where the listener stopped, have none, and a download
breaks off at any of the four thousand bytes of a page.

Not to be seen from the bytes: an end cut off a stream whose header leaves the length open (WAV, AU and FLAC written to
a pipe), and of a stream of frames without a header for the whole: AAC as ADTS, AC-3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial

from sharding.mp3 import after_id3v2

Judge = Callable[[bytes], bool]

# A writer that cannot seek leaves the size open: 0xFFFFFFFF (ffmpeg), or just below 2^31 or 2^32 (sox).
OPEN_SIZES = (range(0x7FFFF000, 0x80000000), range(0xFFFFF000, 0x100000000))
OGG_PAGE_HEADER_BYTES = 27
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
MATROSKA = b"\x1a\x45\xdf\xa3"
MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
APE_DESCRIPTOR_BYTES = 36
FFMPEG_DEMUXERS = (  # where the first bytes stand, what they are, ffmpeg's name for the container
    (4, b"ftyp", "mov"),
    (0, ASF, "asf"),
    (0, MATROSKA, "matroska"),
    (0, b"MAC ", "ape"),
    (0, b"wvpk", "wv"),
    (0, b"MPCK", "mpc8"),
    (0, b"MP+", "mpc"),
    (0, b"TTA1", "tta"),
    (0, b"caff", "caf"),  # ALAC and AAC in it
    (0, b"OggS", "ogg"),  # FLAC and Speex in it
)


def ends_early(data: bytes) -> bool:
    """Whether ``data``, a file of a kind listed above, lacks its end; False for every other kind of file."""
    return any(judge(data) for offset, magic, judge in JUDGES if data.startswith(magic, offset))


def ffmpeg_demuxer(data: bytes) -> str | None:
    """The name that ffmpeg has for a container of audio that libsndfile does not read; None for what is none.

    Naming it keeps ffmpeg from guessing: text that it would take for a list of files to open is nobody's audio.
    """
    for offset, magic, demuxer in FFMPEG_DEMUXERS:
        if data.startswith(magic, offset):
            return demuxer
    start = after_id3v2(data)
    head = data[start : start + 6]
    if len(head) == 6 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"  # frames of AAC, ADTS
    if len(head) == 6 and head.startswith(b"\x0b\x77"):
        return "eac3" if head[5] >> 3 > 10 else "ac3"  # bsid, the version of the bit stream
    return None


def _runs_over(data: bytes, offset: int, size: int) -> bool:
    return not any(size in sizes for sizes in OPEN_SIZES) and offset + size > len(data)


def _au_ends_early(data: bytes) -> bool:
    if len(data) < 12:
        return False
    offset, size = struct.unpack_from(">II", data, 4)
    return _runs_over(data, offset, size)


def _iff_ends_early(name: bytes, size_format: str, data: bytes) -> bool:
    """Walk an IFF file's chunks, ``name[4] size[4] payload`` padded to an even size, to the one of the samples."""
    position = 12  # RIFF size WAVE
    while position + 8 <= len(data):
        size: int = struct.unpack_from(size_format, data, position + 4)[0]
        if data[position : position + 4] == name:
            return _runs_over(data, position + 8, size)
        position += 8 + size + size % 2
    return True  # the file ends before its samples begin


def _caf_ends_early(data: bytes) -> bool:
    """Chunks behind a header of 8 bytes, ``name[4] size[8] payload``; -1 leaves the size of the samples open."""
    position = 8
    while position + 12 <= len(data):
        name: bytes = data[position : position + 4]
        size: int = struct.unpack_from(">q", data, position + 4)[0]
        position += 12 + max(size, 0)
        if name == b"data":
            return position > len(data)
    return True


def _ogg_ends_early(data: bytes) -> bool:
    page = data.rfind(b"OggS")
    if page + OGG_PAGE_HEADER_BYTES > len(data):
        return True
    segments = data[page + 26]
    table = data[page + OGG_PAGE_HEADER_BYTES : page + OGG_PAGE_HEADER_BYTES + segments]
    end = page + OGG_PAGE_HEADER_BYTES + segments + sum(table)
    begun = end < len(data) and b"OggS".startswith(data[end:])  # the first bytes of the next page
    return len(table) < segments or end > len(data) or begun


def _mp4_ends_early(data: bytes) -> bool:
    ends = [(name, end) for name, end in _mp4_boxes(data) if name in {b"moov", b"mdat", b"moof"}]
    return not {b"moov", b"mdat"} <= {name for name, _ in ends} or any(end > len(data) for _, end in ends)


def _mp4_boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and end of the top-level boxes, ``size[4] name[4] payload``."""
    position, fragmented = 0, False
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        if size == 1 and position + 16 <= len(data):  # a 64-bit size follows
            (size,) = struct.unpack_from(">Q", data, position + 8)
        position = position + size if size else len(data)  # 0: to the end of the file
        yield name, position
        fragmented |= name == b"moof"
        if 0 < size < 8:
            return
    if position < len(data) and fragmented:  # the header of another fragment has begun
        yield b"moof", position + 8


def _asf_ends_early(data: bytes) -> bool:
    """The header object, then the data object: ``identifier[16] size[8] payload``."""
    (header,) = struct.unpack_from("<Q", data.ljust(24, b"\0"), 16)
    if header + 24 > len(data):
        return True
    (size,) = struct.unpack_from("<Q", data, header + 16)
    return data.startswith(ASF_DATA, header) and header + size > len(data)


def _matroska_ends_early(data: bytes) -> bool:
    """The EBML header, then the segment: ``identifier[4] size[1..8] payload``."""
    segment = _ebml_end(data, 4)
    if segment is None or segment + 5 > len(data):
        return segment is not None
    end = _ebml_end(data, segment + 4)
    return data.startswith(MATROSKA_SEGMENT, segment) and end is not None and end > len(data)


def _ebml_end(data: bytes, position: int) -> int | None:
    """Where an element ends whose size stands at ``position``; None where it is left open."""
    # The number of leading zero bits tells how many bytes follow; all ones behind them mean: unknown.
    length = 9 - data[position].bit_length() if position < len(data) else 9
    field = int.from_bytes(data[position : position + length].ljust(length, b"\0"), "big")
    ones = (1 << 7 * length) - 1
    return None if field & ones == ones else position + length + (field & ones)


def _ape_ends_early(data: bytes) -> bool:
    """The sizes in the descriptor: its own, header, seek table, WAV header, frames (64 bits), what follows them."""
    if len(data) < APE_DESCRIPTOR_BYTES:
        return True
    fields: tuple[int, ...] = struct.unpack_from("<H2x4IQI", data, 4)
    version, *sizes = fields
    return version >= 3980 and sum(sizes) > len(data)


def _wavpack_ends_early(data: bytes) -> bool:
    """Blocks, ``wvpk size[4] payload``, one behind the other; what follows them is tags."""
    position = 0
    while data.startswith(b"wvpk", position):
        position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
    return position > len(data)


JUDGES: tuple[tuple[int, bytes, Judge], ...] = (  # where the first bytes stand, what they are, who judges
    (0, b"RIFF", lambda data: data.startswith(b"WAVE", 8) and _iff_ends_early(b"data", "<I", data)),
    (0, b"RIFX", partial(_iff_ends_early, b"data", ">I")),
    (0, b"FORM", partial(_iff_ends_early, b"SSND", ">I")),
    (0, b".snd", _au_ends_early),
    (0, b"caff", _caf_ends_early),
    (0, b"OggS", _ogg_ends_early),
    (4, b"ftyp", _mp4_ends_early),
    (0, ASF, _asf_ends_early),
    (0, MATROSKA, _matroska_ends_early),
    (0, b"MAC ", _ape_ends_early),
    (0, b"wvpk", _wavpack_ends_early),
)
