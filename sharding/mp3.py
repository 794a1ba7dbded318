"""MPEG layer III frames: what a Xing header promises, and whether a stream ends where a frame ends.

Not to be seen from the bytes: an end cut off an MP3 without a Xing or Info header, whose every prefix is a valid MP3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LAYER_3_KBPS = {  # bit rate by index; MPEG-1, and MPEG-2 with 2.5 (ISO 11172-3 and 13818-3, layer III)
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MPEG_1_RATES = (44100, 48000, 32000)
SEARCH_BYTES = 1 << 16  # as far as libmpg123 looks for a first frame
SHORTEST_FRAME_BYTES = 24  # 8 kbit/s at 24 kHz
LONGEST_FRAME_BYTES = 1441  # 320 kbit/s at 32 kHz, with padding
ID3V1_BYTES = 128
ID3V2_HEADER_BYTES = 10
APE_FOOTER_BYTES = 32


@dataclass(frozen=True)
class Frame:
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
    def end(self) -> int:
        """Byte behind the frame."""
        return self.start + self.size

    @property
    def tag(self) -> int:
        """Byte at which a Xing or Info header stands: behind the frame header and the side information."""
        side = (17 if self.mono else 32) if self.mpeg_1 else (9 if self.mono else 17)
        return self.start + 4 + side


def frame_at(data: bytes, start: int) -> Frame | None:
    """The frame whose header stands at byte ``start``; None where none does."""
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
    return Frame(start, size, mpeg_1, header >> 6 & 3 == 3, family)


def after_id3v2(data: bytes) -> int:
    """The first byte behind an ID3v2 tag at the front; 0 without one."""
    if data[:3] != b"ID3" or len(data) < ID3V2_HEADER_BYTES:
        return 0
    size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]  # four bytes of seven bits
    return ID3V2_HEADER_BYTES + size + (ID3V2_HEADER_BYTES if data[5] & 0x10 else 0)


def first_frame(data: bytes) -> Frame | None:
    """The first header that is followed by another of the same stream, where its frame ends."""
    begin = after_id3v2(data)
    end = begin + SEARCH_BYTES
    position = data.find(b"\xff", begin, end)
    while position >= 0:
        frame = frame_at(data, position)
        following = frame and frame_at(data, frame.end)
        if frame and following and frame.family == following.family:
            return frame
        position = data.find(b"\xff", position + 1, end)
    return None


def frame_count(data: bytes) -> int | None:
    """The number of frames that an MP3's Xing or Info header states; None where it states none."""
    frame = first_frame(data)
    return _stated(data, frame)[0] if frame else None


def goes_on(data: bytes) -> bool:
    """Whether frames follow the end that the Xing header states: of several MP3s put together it is the first one's."""
    frame = first_frame(data)
    if frame is None:
        return False
    _, size = _stated(data, frame)
    if size is None:
        return False
    end = frame.start + size
    if data[end : end + 3] == b"TAG":
        end += ID3V1_BYTES
    following = first_frame(data[end : end + 2 * SEARCH_BYTES])
    return following is not None and following.family == frame.family


def with_open_end(data: bytes) -> bytes:
    """An MP3 whose Xing header promises more frames than the file can hold; it gets one where it has none.

    libsndfile reads no further than the length it expects. A Xing header may be that of the first of several files put
    together; without one, the length is what the file's size and its first frame's bit rate give: a stream that begins
    at 320 and goes on at 64 kbit/s would lose half its music.
    """
    first = first_frame(data)
    if first is None:
        return data
    count = struct.pack(">I", len(data) // SHORTEST_FRAME_BYTES + 1)
    if _stated(data, first)[0] is not None:
        return data[: first.tag + 8] + count + data[first.tag + 12 :]
    # The same stream (version, rate, channel mode), no checksum, bit rate index 9, no padding: long enough for the tag.
    header = bytes((0xFF, data[first.start + 1] | 1, 0x90 | data[first.start + 2] & 0x0C, data[first.start + 3]))
    frame = frame_at(header, 0)
    assert frame is not None
    front = (header + bytes(frame.tag - 4) + b"Xing" + b"\0\0\0\1" + count).ljust(frame.size, b"\0")
    return data[: first.start] + front + data[first.start :]


def ends_on_frame(data: bytes) -> bool:
    """Whether the last frame is whole, so that the stream was cut on purpose rather than by an accident.

    A preview that was cut out of a longer MP3 frame by frame may keep that song's Xing header, which promises far more
    than is there; nothing is lost of it. A download breaks off at any byte: of 100 at 128 kbit/s and 44.1 kHz, where a
    frame takes 418 bytes, at most one ends on a frame by chance.
    """
    end = _without_tags(data)
    # Two whole frames lie in the last three frames' bytes; a header by chance is not followed by another.
    start = data.find(b"\xff", max(end - 3 * LONGEST_FRAME_BYTES, 0), end)
    while start >= 0:
        frame, chain = frame_at(data, start), 0
        while frame and frame.end < end:
            following = frame_at(data, frame.end)
            frame = following if following and following.family == frame.family else None
            chain += 1
        if frame and frame.end == end and chain:
            return True
        start = data.find(b"\xff", start + 1, end)
    return False


def _stated(data: bytes, frame: Frame) -> tuple[int | None, int | None]:
    """What a Xing or Info header in ``frame`` states: frames behind it, and bytes from its own first on."""
    # name[4] flags[4], then frames[4] where flag 1 is set and bytes[4] where flag 2 is
    fields = data[frame.tag : frame.tag + 16].ljust(16, b"\0")
    name, flags, *numbers = struct.unpack(">4s3I", fields)
    if name not in {b"Xing", b"Info"}:
        return None, None
    frames = numbers.pop(0) if flags & 1 else None
    return frames, numbers[0] if flags & 2 else None


def _without_tags(data: bytes) -> int:
    """Where the audio ends: before an ID3v1 tag and an APE tag, in either order."""
    end, before = len(data), -1
    while end != before:
        before = end
        if data[max(end - ID3V1_BYTES, 0) :].startswith(b"TAG"):
            end -= ID3V1_BYTES
        footer = data[max(end - APE_FOOTER_BYTES, 0) : end]
        if footer.startswith(b"APETAGEX") and len(footer) == APE_FOOTER_BYTES:
            # Bytes of the tag with its footer, number of items, flags: bit 31 tells of a header as long as the footer.
            size, _, flags = struct.unpack_from("<III", footer, 12)
            end -= size + (APE_FOOTER_BYTES if flags >> 31 else 0)
        end = max(end, 0)
    return end
