"""Does a file end before its own header says? libsndfile does not tell: it quietly adjusts the length it reports.

    WAV, AIFF, AU   the size of the chunk of samples against the size of the file
    Ogg             the last page is whole and carries the end-of-stream flag (RFC 3533, section 6)
    FLAC, MP3       here only :func:`mp3_frame_count`; ``decode`` compares the promised with the decoded length

Not to be seen from the bytes: an end cut off a stream whose header leaves the length open (WAV, AU and FLAC written to
a pipe), and of an MP3 without a Xing or Info header, whose every prefix is a valid MP3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# A writer that cannot seek leaves the size open: 0xFFFFFFFF (ffmpeg), or just below 2^31 or 2^32 (sox).
OPEN_SIZES = (range(0x7FFFF000, 0x80000000), range(0xFFFFF000, 0x100000000))
UNSUPPORTED_MAGIC = (
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMA
    b"\x1a\x45\xdf\xa3",  # Matroska
    b"\x0b\x77",  # AC-3
    b"MAC ",  # Monkey's Audio
    b"wvpk",  # WavPack
    b"MPCK",  # Musepack 8
    b"MP+",  # Musepack 7
)
OGG_PAGE_HEADER_BYTES = 27
OGG_END_OF_STREAM = 4


def ends_early(data: bytes) -> bool:
    """Whether the WAV, AIFF, AU or Ogg file ``data`` lacks its end; False for every other kind of file."""
    match data[:4]:
        case b"RIFF":
            return _chunk_ends_early(data, b"data", "<I")
        case b"RIFX":
            return _chunk_ends_early(data, b"data", ">I")
        case b"FORM":
            return _chunk_ends_early(data, b"SSND", ">I")
        case b".snd" if len(data) >= 12:
            offset, size = struct.unpack_from(">II", data, 4)
            return _runs_over(data, offset, size)
        case b"OggS":
            return _ogg_ends_early(data)
    return False


def is_unsupported(data: bytes) -> bool:
    """Whether ``data``, which libsndfile does not read, is audio all the same, of a kind that ffmpeg reads."""
    is_mp4 = data[4:8] == b"ftyp"
    is_adts_aac = len(data) > 1 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0
    return is_mp4 or is_adts_aac or data.startswith(UNSUPPORTED_MAGIC)


def _runs_over(data: bytes, offset: int, size: int) -> bool:
    return not any(size in sizes for sizes in OPEN_SIZES) and offset + size > len(data)


def _chunk_ends_early(data: bytes, name: bytes, size_format: str) -> bool:
    """Walk an IFF file's chunks, ``name[4] size[4] payload`` padded to an even size, to the one of the samples."""
    position = 12  # RIFF size WAVE
    while position + 8 <= len(data):
        (size,) = struct.unpack_from(size_format, data, position + 4)
        if data[position : position + 4] == name:
            return _runs_over(data, position + 8, size)
        position += 8 + size + size % 2
    return True  # the file ends before its samples begin


def _ogg_ends_early(data: bytes) -> bool:
    page = data.rfind(b"OggS")
    if page + OGG_PAGE_HEADER_BYTES > len(data):
        return True
    flags, segments = data[page + 5], data[page + 26]
    table = data[page + OGG_PAGE_HEADER_BYTES : page + OGG_PAGE_HEADER_BYTES + segments]
    end = page + OGG_PAGE_HEADER_BYTES + segments + sum(table)
    return not flags & OGG_END_OF_STREAM or len(table) < segments or end > len(data)


# --- MP3 ------------------------------------------------------------------------------------------------------

LAYER_3_KBPS = {  # bit rate by index; MPEG-1, and MPEG-2 with 2.5 (ISO 11172-3 and 13818-3, layer III)
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MPEG_1_RATES = (44100, 48000, 32000)
MP3_SEARCH_BYTES = 1 << 16  # as far as libmpg123 looks for a first frame
SHORTEST_MP3_FRAME_BYTES = 24  # 8 kbit/s at 24 kHz


@dataclass(frozen=True)
class Mp3Frame:
    """Where an MPEG layer III frame lies, and what its header says."""

    start: int
    """Byte of the header."""
    size: int
    """Bytes, header included."""
    mpeg_1: bool
    mono: bool
    family: bytes
    """The bits that all frames of a stream share: version, layer, sampling rate."""

    @property
    def tag(self) -> int:
        """Byte at which a Xing or Info header stands: behind the frame header and the side information."""
        side = (17 if self.mono else 32) if self.mpeg_1 else (9 if self.mono else 17)
        return self.start + 4 + side


def _mp3_frame(data: bytes, start: int) -> Mp3Frame | None:
    if start + 4 > len(data):
        return None
    (header,) = struct.unpack_from(">I", data, start)
    version, layer = header >> 19 & 3, header >> 17 & 3  # version: 3 MPEG-1, 2 MPEG-2, 0 MPEG-2.5; layer: 1 is III
    bit_rate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or bit_rate in {0, 15} or rate == 3:
        return None
    mpeg_1 = version == 3
    sample_rate = MPEG_1_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    # A frame of 1152 samples (MPEG-2: 576) at `bits` per second takes 1152 / 8 * bits / sample_rate bytes.
    size = (144 if mpeg_1 else 72) * LAYER_3_KBPS[mpeg_1][bit_rate] * 1000 // sample_rate + padding
    family = bytes((data[start + 1] & 0xFE, data[start + 2] & 0x0C))
    return Mp3Frame(start, size, mpeg_1, header >> 6 & 3 == 3, family)


def _first_mp3_frame(data: bytes) -> Mp3Frame | None:
    """The first header that is followed by another of the same stream, where its frame ends."""
    begin = 0
    if data[:3] == b"ID3" and len(data) >= 10:
        size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]  # ID3v2: four bytes of seven bits
        begin = 10 + size + (10 if data[5] & 0x10 else 0)
    end = begin + MP3_SEARCH_BYTES
    position = data.find(b"\xff", begin, end)
    while position >= 0:
        frame = _mp3_frame(data, position)
        following = frame and _mp3_frame(data, frame.start + frame.size)
        if frame and following and frame.family == following.family:
            return frame
        position = data.find(b"\xff", position + 1, end)
    return None


def mp3_frame_count(data: bytes) -> int | None:
    """The number of frames that an MP3's Xing or Info header states; None where it states none."""
    frame = _first_mp3_frame(data)
    if frame is None or data[frame.tag : frame.tag + 4] not in {b"Xing", b"Info"}:
        return None
    flags, count = struct.unpack_from(">II", data, frame.tag + 4)
    return count if flags & 1 else None


def with_open_end(data: bytes) -> bytes:
    """An MP3 without a Xing header, with one in front that promises more frames than the file can hold.

    libsndfile reads no further than the length it expects, and without a Xing header it expects what the file's size
    and its first frame's bit rate give: a stream that begins at 320 and goes on at 64 kbit/s would lose half its music.
    """
    first = _first_mp3_frame(data)
    if first is None:
        return data
    # The same stream (version, rate, channel mode), no checksum, bit rate index 9, no padding: long enough for the tag.
    header = bytes((0xFF, data[first.start + 1] | 1, 0x90 | data[first.start + 2] & 0x0C, data[first.start + 3]))
    frame = _mp3_frame(header, 0)
    assert frame is not None
    tag = b"Xing" + struct.pack(">II", 1, len(data) // SHORTEST_MP3_FRAME_BYTES + 1)
    front = (header + bytes(frame.tag - 4) + tag).ljust(frame.size, b"\0")
    return data[: first.start] + front + data[first.start :]
