"""How long, and at which intervals, a request is repeated."""

from __future__ import annotations

import os
import time

from sharding.storage.place import Pause

FIRST_WAIT = 0.1
"""Seconds before the first repetition; twice as long before each further one."""
LONGEST_WAIT = 5.0


class Retries:
    """The repetitions of one request, from its first failure on.

    The time until then does not count: a slow transfer that breaks off late is repeated like any other.

    Args:
        seconds: after so long it is not repeated any more.
        pause: waits.

    Attributes:
        made: repetitions so far.
    """

    def __init__(self, seconds: float, pause: Pause) -> None:
        self.made = 0
        self._end = time.monotonic() + seconds
        self._pause = pause
        self._wait = FIRST_WAIT

    def wait(self) -> bool:
        """Wait before the next repetition; False where there is to be none."""
        # Half of the time at least, the rest by chance: many requests that failed together do not return together.
        seconds = self._wait * (0.5 + os.urandom(1)[0] / 512)
        if time.monotonic() + seconds > self._end:
            return False
        self._pause(seconds)
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        self.made += 1
        return True
