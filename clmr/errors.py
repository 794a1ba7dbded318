"""Every error a user can cause, and the one way they reach the terminal.

    ClmrError
    ├── ConfigError     a setting that cannot be used, or two that exclude each other
    ├── SourceError     recordings, labels or a data-set folder that are not as expected
    ├── ShardError      a shard, index or manifest that is missing, damaged or of another version
    ├── StorageError    an object store that does not answer, refuses the credentials, is full, or answers wrongly
    ├── ResumeError     a checkpoint or loader state that does not belong to this run
    └── FeatureError    a feature folder that is missing, incomplete or unfit for the probe

A message says what is wrong, what was found, what is allowed and what to do next, and names the file, shard,
key or URL. Anything else that escapes is a defect and shows its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class ClmrError(Exception):
    """A mistake the user can mend; its message is one line."""


class ConfigError(ClmrError):
    """A setting is out of range, or two settings exclude each other."""


class SourceError(ClmrError):
    """The source folder, its labels or its layout is not what the data set needs."""


class ShardError(ClmrError):
    """A shard, its index or the manifest is missing, damaged or of another format version."""


class StorageError(ClmrError):
    """An object store cannot be reached, refuses, is full, or does not hold what was written to it."""


class ResumeError(ClmrError):
    """A checkpoint or loader state does not fit the run that wants to resume from it."""


class FeatureError(ClmrError):
    """A feature folder is missing, incomplete or does not fit what is asked of it."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors of the user's making into one line on stderr and a non-zero exit; use it as a decorator.

    Exit status: 1 for a :class:`ClmrError` or an operating-system error (disk full, permission denied),
    130 after Ctrl-C.
    """
    try:
        yield
    except ClmrError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
