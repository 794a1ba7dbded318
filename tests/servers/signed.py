"""Requests to an S3 server, signed with the standard library alone (AWS Signature Version 4).

What the tests need beside the client under test: create a bucket, put keys that the client refuses to write, list
the multipart uploads that nobody finished.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit


def request(
    endpoint: str,
    keys: tuple[str, str],
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    body: bytes = b"",
) -> tuple[int, bytes]:
    """One request.

    Args:
        endpoint: address of the server, ``http://127.0.0.1:1234``.
        keys: access key and secret key.
        method: ``GET``, ``PUT``, ``DELETE`` and so on.
        path: ``/bucket`` or ``/bucket/key``, not encoded.
        query: not encoded.
        body: to send.

    Returns:
        The status and the body of the answer.
    """
    host = urlsplit(endpoint).netloc
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    day, region = now[:8], "us-east-1"
    digest = hashlib.sha256(body).hexdigest()
    target = quote(path, safe="/-_.~")
    pairs = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted((query or {}).items()))
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{target}\n{pairs}\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{keys[1]}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys[0]}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request(method, f"{target}?{pairs}" if pairs else target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
