"""ffmpeg for what libsndfile does not read: one process for a file, where the program is installed.

It only decodes. Downmix, resampling and rounding are ours, the same for every format, whatever its version; float32
samples at the file's own rate come through a pipe.

The file's bytes go to it as an unnamed temporary file: an m4a has its index at its end as a rule, which a pipe cannot
be read for, and nothing is left behind after a kill. The demuxer is named, and no protocol but ``file`` and ``pipe`` is
allowed, so that no file can make ffmpeg read another one or the network.
"""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import tempfile
from functools import cache
from threading import Timer
from types import TracebackType

import numpy as np
import numpy.typing as npt

from clmr.errors import SourceError
from sharding.faults import Fault, RecordingError

TIME_LIMIT = 1800.0  # seconds; a day of AAC takes a quarter of it
AU_HEADER = struct.Struct(">4s5I")  # magic, offset of the samples, their bytes, encoding, rate, channels
SAFELY = ("-nostdin", "-protocol_whitelist", "file,pipe", "-threads", "1", "-vn", "-sn", "-dn")
FIRST_AUDIO = ("-map", "0:a:0", "-map_metadata", "-1")
AS_FLOATS = ("-c:a", "pcm_f32be", "-f", "au", "pipe:1")
STOPPED_FROM_OUTSIDE = {-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL, -signal.SIGHUP}


@cache
def ffmpeg_version() -> str | None:
    """Such as ``ffmpeg 5.1.9-0+deb12u1``; None where it is not installed. Looked up once in a process."""
    program = shutil.which("ffmpeg")
    if program is None:
        return None
    listing = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, process_group=0)
    # ffmpeg version 5.1.9-0+deb12u1 Copyright (c) ...
    words = listing.stdout.split()
    return f"ffmpeg {words[2]}" if listing.returncode == 0 and len(words) > 2 else None


class FfmpegFile:
    """The first audio stream of a file, read from front to end as ``soundfile.SoundFile`` is.

    Args:
        data: the file.
        demuxer: ffmpeg's name for its container.

    Raises:
        RecordingError: undecodable: there is no audio stream, or ffmpeg fails on it or takes longer than half an hour.
            A damaged place inside a lossy stream is no failure, as it is none to libsndfile.
        SourceError: somebody else stopped ffmpeg.
    """

    def __init__(self, data: bytes, demuxer: str) -> None:
        with tempfile.TemporaryFile() as file:
            try:
                file.write(data)
                file.seek(0)
            except OSError as error:
                error.filename = tempfile.gettempdir()  # a full disk: TMPDIR chooses another
                raise
            self._process = subprocess.Popen(
                ["ffmpeg", "-v", "error", *SAFELY, "-f", demuxer, "-i", "/dev/stdin", *FIRST_AUDIO, *AS_FLOATS],
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the sharder: a file must not count as broken for it
            )
        self._out_of_time = False
        self._timer = Timer(TIME_LIMIT, self._time_is_up)
        self._timer.daemon = True
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._timer.start()
        try:
            _, offset, _, _, self.samplerate, self.channels = AU_HEADER.unpack(self._bytes(AU_HEADER.size))
            self._bytes(offset - AU_HEADER.size)
        except BaseException:
            self.close()
            raise

    @property
    def process_id(self) -> int:
        """Of the running ffmpeg."""
        return self._process.pid

    def read(self, *, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Fill ``out``, float32 ``[frames, channels]``; at the end less of it is returned, and then nothing."""
        frame = 4 * self.channels
        data = self._output.read(len(out) * frame)
        frames = len(data) // frame
        if not frames:
            self._check()
        out[:frames] = np.frombuffer(data, ">f4", frames * self.channels).reshape(frames, self.channels)
        return out[:frames]

    def close(self) -> None:
        """Stop ffmpeg where it has not ended."""
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        self._output.close()

    def __enter__(self) -> FfmpegFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _time_is_up(self) -> None:
        self._out_of_time = True
        self._process.kill()

    def _bytes(self, count: int) -> bytes:
        data = self._output.read(count)
        if len(data) < count:
            self._check()
            raise RecordingError(Fault.UNDECODABLE)
        return data

    def _check(self) -> None:
        """At the end of its output: did ffmpeg end well?"""
        status = self._process.wait()
        if status in STOPPED_FROM_OUTSIDE and not self._out_of_time:
            raise SourceError(
                f"ffmpeg was stopped by {signal.Signals(-status).name} while it decoded a recording; where the memory "
                "is short, use fewer jobs; run the same command again to go on"
            )
        if status:
            raise RecordingError(Fault.UNDECODABLE)
