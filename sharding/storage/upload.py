"""Writing an object from front to end, in parts that are sent while the next one is filled."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from sharding.storage.objects import PART
from sharding.storage.sending import Sending


class Upload:
    """An object that is being written. It appears when the context ends; on an error nothing is left of it."""

    def __init__(self, sending: Sending) -> None:
        self.position = 0
        """Bytes written."""
        self._sending = sending
        self._part = bytearray()
        self._failure: Exception | None = None

    def write(self, data: bytes | memoryview, /) -> int:
        """Append bytes. Waits where the server does not keep up; what befell an earlier part is raised here."""
        view = memoryview(data).cast("B")
        size = len(view)
        while view:
            taken = view[: PART - len(self._part)]
            self._part += taken
            view = view[len(taken) :]
            if len(self._part) == PART:
                self._send()
        self.position += size
        return size

    def _send(self) -> None:
        if self._failure:
            raise self._failure
        part, self._part = self._part, bytearray()
        try:
            self._sending.send(part)
        except Exception as error:
            self._failure = error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = error or self._failure  # a failed part stops the upload, even where its error was caught
        if failure is None and self._part:
            try:
                self._send()
            except BaseException as late:
                failure = late
        if failure is None:
            self._sending.finish()
            return
        self._sending.abort(failure)
        if failure is not error:
            raise failure
