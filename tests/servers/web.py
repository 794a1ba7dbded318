"""A web server on loopback that answers as a test wants it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


class Quiet(BaseHTTPRequestHandler):
    """A handler that keeps connections open and logs nothing; it answers GET in ``get``, PUT in ``put`` and so on."""

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return getattr(self, name.removeprefix("do_").lower())
        raise AttributeError(name)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer with a body; header names are written with ``_``."""
        self.send_response(status)
        for name, value in {"Last_Modified": MODIFIED, "Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def wanted(self, size: int) -> tuple[int, int]:
        """First byte and end of the range that is asked for, of a file of so many bytes."""
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers by a handler."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def files_of(files: dict[str, bytes]) -> type[BaseHTTPRequestHandler]:
    """A handler that serves files, by their path without the first ``/``, and ranges of them."""

    class Files(Quiet):
        def get(self) -> None:
            data = files.get(unquote(self.path[1:]))
            if data is None:
                self.reply(404)
            elif "Range" not in self.headers:
                self.reply(200, data, ETag='"1"')
            else:
                begin, end = self.wanted(len(data))
                span = f"bytes {begin}-{end - 1}/{len(data)}"
                if begin < end:
                    self.reply(206, data[begin:end], ETag='"1"', Content_Range=span)
                else:
                    self.reply(416, Content_Range=f"bytes */{len(data)}")

        head = get

    return Files
