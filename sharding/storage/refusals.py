"""What an object store's answers mean, in one line.

obstore's messages quote the request, the answer's XML and a dump of its own structures. Kept of these are the HTTP
status, the store's error code, the reason why a connection failed and the number of retries.
"""

from __future__ import annotations

import errno
import os
import re

from clmr.errors import StorageError
from sharding.storage.urls import Address

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, the machine's role, or AWS_SKIP_SIGNATURE=true "
    "for a public bucket",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's service account",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or the machine's identity",
    "http": "none are sent to a web server",
}
"""By kind of store, where credentials come from."""

FULL = {
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
    "InsufficientStorage",
    "AccountQuotaExceeded",
}
"""Error codes of a bucket that is full (Ceph, MinIO, Azure); the HTTP status 507 says so too."""

DENIED = {"401", "403"}

CAUSES = (
    (r"Connection refused", "connection refused"),
    (r"dns error|failed to lookup", "its name is not known"),
    (r"[Tt]imedOut|[Tt]imed ?out|Timeout", "timed out"),
    (r"reset by peer|IncompleteMessage|Broken pipe|UnexpectedEof", "the connection broke off"),
    (r"InvalidContentType", "it does not speak TLS; write http:// in the endpoint"),
    (r"[Cc]ertificate", "its certificate is not trusted"),
    (r"builder error", "plain HTTP is not allowed; set AWS_ALLOW_HTTP=true"),
)
"""Why no answer came, as obstore's dump shows it and as it is said here."""


def refusal(error: Exception, at: Address, address: str, retried: int = 0) -> Exception:
    """The error to raise for one of obstore's.

    Args:
        error: from obstore.
        at: the folder that was used.
        address: full name of the file or folder that was asked for.
        retried: how often the request was repeated, where obstore does not know.

    Returns:
        FileNotFoundError or PermissionError with the address as ``filename``, otherwise a StorageError.
    """
    text = str(error)
    status, code = status_of(text), _first(r"<Code>(\w+)</Code>", text)
    answer = " ".join(part for part in (status, code) if part)
    retries = _first(r"after (\d+) retries", text) or retried
    tried = f", after {retries} retries" if retries else ""
    known = _known(text, status, code)
    if known:
        credentials = CREDENTIALS[at.kind]
        return StorageError(f"{address}: {known.format(answer=answer + tried, credentials=credentials)}")
    if status == "404" or isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address)
    if status in DENIED:
        what = f"access denied ({answer}); check the credentials ({CREDENTIALS[at.kind]}) and the bucket's policy"
        return PermissionError(errno.EACCES, what, address)
    return StorageError(f"{address}: {_otherwise(text, status, answer, tried)}")


def unusable(error: Exception) -> bool:
    """Whether a first request shows that no other can succeed: nobody answers, or nobody who is meant."""
    text = str(error)
    return (not status_of(text) and ("HTTP error" in text or "Received redirect" in text)) or _roleless(text)


def was_repeated(error: Exception) -> bool:
    """Whether obstore has given up after attempts of its own."""
    return bool(_first(r"after (\d+) retries", str(error)))


def can_pass(error: Exception) -> bool:
    """Whether the same request may succeed a little later: the server is busy or away, or the connection broke off."""
    text = str(error)
    status = status_of(text)
    return _is_busy(status) or (not status and "HTTP error" in text)


def _is_busy(status: str) -> bool:
    return status.startswith("5") or status in {"408", "429"}


def _known(text: str, status: str, code: str) -> str | None:
    """What an answer says that means the same for every object, None for others."""
    if _roleless(text):
        return "no credentials were found ({credentials})"
    if code in {"NoSuchBucket", "ContainerNotFound"}:
        return "there is no such bucket ({answer}); create it, or correct the URL or the endpoint"
    if code in FULL or status == "507":
        return "the bucket is full ({answer}); free space in it or raise its quota, then run the same command again"
    if code == "RequestTimeTooSkewed":
        return "refused ({answer}); the clock of this machine is wrong"
    return None


def _otherwise(text: str, status: str, answer: str, tried: str) -> str:
    """What went wrong, where it was not the object, the credentials or the quota."""
    server = _server(text)
    if "Received redirect" in text:
        said = f"the bucket is in another region than {server}; set AWS_REGION"
    elif _is_busy(status):
        said = f"{server} fails ({answer}{tried}); run the same command again later"
    elif status:
        said = f"{server} refuses the request ({answer})"
    elif "NotSupported" in text or "range" in text.lower():
        said = f"{server} does not answer requests for ranges of bytes"
    elif "HTTP error" in text:
        cause = next((cause for pattern, cause in CAUSES if re.search(pattern, text)), "no connection")
        said = (
            f"{server} does not answer ({cause}{tried}); check the network and the endpoint, then run the command again"
        )
    else:
        said = _redacted(text.partition("\n")[0].partition("<")[0])
    return said


def _roleless(text: str) -> bool:
    """Whether it was the service for a machine's or container's own credentials that gave none."""
    return _server(text).startswith("169.254.") or "/api/token" in text or "metadata.google" in text


def status_of(text: str) -> str:
    """The HTTP status in a message of obstore's, "" where there was no answer."""
    return _first(r"status code: (\d{3})", text)


def _server(text: str) -> str:
    """The host that was asked. The host alone: an endpoint may have been given with a password in it."""
    return _first(r"performing \w+ https?://(?:[^@/\s]*@)?([^/\s]+)", text) or "the server"


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _redacted(text: str) -> str:
    """A message without what the environment holds as a secret."""
    for name, value in os.environ.items():
        if re.search(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS", name) and len(value) >= 6:
            text = text.replace(value, "***")
    return text
