"""One self-contained HTML page that shows what is in a folder of shards, to look at and to listen to."""

from sharding.page.document import write_page

__all__ = ["write_page"]
