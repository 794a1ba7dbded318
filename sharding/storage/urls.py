"""The URLs of folders in object stores, and the names of files below them."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from clmr.errors import ConfigError

KINDS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "az": "az",
    "azure": "az",
    "abfs": "az",
    "abfss": "az",
    "http": "http",
    "https": "http",
}
"""By scheme, the protocol that is spoken."""

LONGEST_KEY = 1024
"""Bytes; the least of what the stores allow (S3, Google Cloud Storage, Azure)."""


@dataclass(frozen=True)
class Address:
    """A folder in an object store."""

    url: str
    """As the user wrote it."""
    kind: str
    """One of the values of :data:`KINDS`."""
    bucket: str
    """Bucket or container; for a web server the whole URL."""
    prefix: str
    """Key of the folder, without ``/`` at either end; "" for the whole bucket."""
    account: str = ""
    """Azure: the storage account, where the URL names it."""


def parse(url: str) -> Address:
    """Take a URL apart. What stands in it is taken literally; only the URL of a web server is percent-encoded.

    Raises:
        ConfigError: another scheme, no bucket, or something that does not belong into a URL; a message never repeats
            what could be a password.
    """
    scheme, _, rest = url.partition("://")
    kind = KINDS.get(scheme.lower())
    if kind is None:
        known = ", ".join(f"{name}://" for name in KINDS)
        raise ConfigError(f"{scheme}://: not a kind of storage that is known ({known}, or a folder's path)")
    host, _, path = rest.partition("/")
    user, at, server = host.rpartition("@")
    if at and (kind != "az" or ":" in user):
        raise ConfigError(
            f"a {scheme}:// URL must not hold a user name or password; "
            "set the environment variables of the store, or a profile (docs/object-storage.md)"
        )
    if "?" in rest or (kind == "http" and "#" in rest):
        raise ConfigError(
            f"a {scheme}:// URL of a folder has no part after '?' or '#'; credentials are never part of it"
        )
    if kind == "http":
        if not host:
            raise ConfigError(f"{url}: names no host")
        return Address(url, kind, url.rstrip("/"), "")
    bucket, account = (user, server.partition(".")[0]) if at else (host, "")
    prefix = path.strip("/")
    if not bucket:
        raise ConfigError(f"{url}: names no bucket; write {scheme}://BUCKET/FOLDER")
    fault = _fault(prefix) if prefix else None
    if fault:
        raise ConfigError(f"{url}: no folder of an object store can be called that ({fault})")
    return Address(url, kind, bucket, prefix, account)


def key_of(prefix: str, name: str, address: str) -> str:
    """The key of a file.

    Raises:
        OSError: no object of this name can be addressed; ``filename`` is the address.
    """
    fault = _fault(name)
    key = f"{prefix}/{name}" if prefix else name
    if fault:
        raise OSError(errno.EINVAL, f"object stores cannot address this name ({fault})", address)
    if len(key.encode()) > LONGEST_KEY:
        raise OSError(errno.ENAMETOOLONG, f"longer than the {LONGEST_KEY} bytes that object stores allow", address)
    return key


def _fault(name: str) -> str | None:
    """What keeps a name from being a key, None where nothing does."""
    parts = name.split("/")
    if "" in parts:
        return "'//', or a '/' at an end"
    if "." in parts or ".." in parts:
        return "a part that is '.' or '..'"
    if re.search(r"[\x00-\x1f\x7f]", name):
        return "a control character"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "not valid Unicode"
    return None
