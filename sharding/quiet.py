"""C libraries comment on damaged files on descriptor 2 (libmpg123 does); here nobody hears them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Send descriptor 2 nowhere for a while; Python's own messages keep their way out."""
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w", buffering=1) as way_out, Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            with redirect_stderr(way_out):
                yield
        finally:
            os.dup2(way_out.fileno(), 2)
