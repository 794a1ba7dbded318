"""Where files are: on a file system or in a bucket. One interface, :class:`Place`, for both."""

from __future__ import annotations

import os
import re

from clmr.errors import ConfigError
from sharding.storage.local import LocalPlace
from sharding.storage.place import Listing, Pause, Piece, Place, Version, Writer

__all__ = ["Listing", "LocalPlace", "Pause", "Piece", "Place", "Version", "Writer", "place_at"]

URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
ONE_SLASH = re.compile(r"(s3a?|gs|azure|az|abfss?|https?):/?[^/]")


def place_at(where: str | os.PathLike[str] | Place) -> Place:
    """The folder that a path or a URL names.

    Raises:
        ConfigError: a URL of a kind that is not known, or one with a credential in it.
    """
    if isinstance(where, Place):
        return where
    if URL.match(os.fspath(where)):
        from sharding.storage.bucket import ObjectPlace  # obstore is loaded where it is needed

        return ObjectPlace(os.fspath(where))
    if ONE_SLASH.match(os.fspath(where)):
        raise ConfigError(f"{where}: write two slashes for a URL, or ./ before it for a folder of that name")
    return LocalPlace(where)
