"""A recording's file, opened with the decoder that reads it, and read from front to end.

libsndfile comes first, ffmpeg reads the kinds of audio that it does not; what ends before its time is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from sharding import mp3
from sharding.containers import ends_early, ffmpeg_demuxer
from sharding.faults import Fault, RecordingError
from sharding.ffmpeg import FfmpegFile, ffmpeg_version
from sharding.probe import FASTEST_RATE, LENGTH_UNKNOWN, SLOWEST_RATE

MP3_SLACK_FRAMES = 2 * 1152  # encoder delay and padding, and taggers that count the Xing frame itself


@dataclass(frozen=True, eq=False)
class Opened:
    """A file whose samples can be read, once."""

    data: bytes
    file: soundfile.SoundFile | FfmpegFile
    promised: int = 0
    """Frames that its header promises; 0: it promises nothing."""
    is_mp3: bool = False
    decoder: str = ""
    """Program and version, where it is not libsndfile."""

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.file.samplerate)

    def blocks(self, frames: int) -> Iterator[npt.NDArray[np.float32]]:
        """All samples, float32 ``[at most frames, channels]``, in memory that the next block overwrites.

        Raises:
            RecordingError: the stream breaks off early, or cannot be decoded.
        """
        buffer = np.empty((frames, self.file.channels), np.float32)
        read = 0
        while True:
            try:
                block = self.file.read(out=buffer)
            except soundfile.SoundFileError as error:  # FLAC: "decoder lost sync" where the file is cut
                raise RecordingError(Fault.TRUNCATED) from error
            if not len(block):
                break
            read += len(block)
            yield block
        # An MP3 that ends with a whole frame before its header says was cut out of a longer one: all of it counts.
        if read < self.promised and not (self.is_mp3 and mp3.ends_on_frame(self.data)):
            raise RecordingError(Fault.TRUNCATED)


@contextmanager
def open_recording(data: bytes) -> Iterator[Opened]:
    """Open a file, whatever its name, with the decoder that reads it.

    Raises:
        RecordingError: nobody reads it, or it ends early.
        SourceError: ffmpeg was stopped by somebody else.
    """
    if ends_early(data):
        raise RecordingError(Fault.TRUNCATED)
    try:
        opened = _open_with_libsndfile(data)
    except soundfile.SoundFileError as error:
        opened = _open_with_ffmpeg(data, error)
    with opened.file:
        if not SLOWEST_RATE <= opened.sample_rate <= FASTEST_RATE:
            raise RecordingError(Fault.UNDECODABLE)
        yield opened


def _open_with_libsndfile(data: bytes) -> Opened:
    file = _stream(data)
    if file.format != "MP3":
        slack = MP3_SLACK_FRAMES if file.subtype.startswith("MPEG") else 0  # MP3 in a WAV file
        return Opened(data, file, file.frames - slack if file.frames < LENGTH_UNKNOWN else 0)
    if mp3.frame_count(data) is not None and not mp3.goes_on(data):
        return Opened(data, file, file.frames - MP3_SLACK_FRAMES, is_mp3=True)
    file.close()
    return Opened(data, _stream(mp3.with_open_end(data)), is_mp3=True)


def _stream(data: bytes) -> soundfile.SoundFile:
    """A file to read from front to end: SoundFile seeks after every block, which breaks FLAC of unknown length."""
    file = soundfile.SoundFile(io.BytesIO(data))
    file.seekable = lambda: False
    return file


def _open_with_ffmpeg(data: bytes, refusal: Exception) -> Opened:
    demuxer = ffmpeg_demuxer(data)
    if demuxer is None:
        raise RecordingError(Fault.UNDECODABLE) from refusal
    version = ffmpeg_version()
    if version is None:
        raise RecordingError(Fault.UNSUPPORTED) from refusal
    return Opened(data, FfmpegFile(data, demuxer), decoder=version)
