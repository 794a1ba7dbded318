"""An upload to an object store, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sharding.storage.objects import FAILURES, open_writer
from sharding.storage.refusals import refusal, status_of
from sharding.storage.urls import Address


class Sending:
    """An upload, in parts; a single one goes as one request. It appears when it is finished."""

    def __init__(self, at: Address, key: str, address: str) -> None:
        self._at = at
        self._address = address
        self._out_of_reach = False
        self._writer = open_writer(at, key, address)

    def send(self, part: bytearray) -> None:
        """Send the next part, which must not be touched any more: obstore keeps a reference, not a copy.

        Waits where too many are under way, and raises what became of earlier ones.
        """
        with self._refusing():
            self._writer.write(part)

    def finish(self) -> None:
        """Wait for all parts and put the object in its place. Where a part fails, obstore aborts the upload."""
        with self._refusing():
            self._writer.close()

    def abort(self, error: BaseException) -> None:
        """Have the server forget the parts, if it can be reached."""
        if not self._out_of_reach:  # otherwise it would be tried for as long again
            with suppress(*FAILURES):
                self._writer.__exit__(type(error), error, None)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            status = status_of(str(error))
            self._out_of_reach = not status or status.startswith("5")
            raise refusal(error, self._at, self._address) from None
