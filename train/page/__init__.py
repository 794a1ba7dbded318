"""One self-contained HTML page about a run: what it was asked for, how it went, what it scores, how it sounds."""

from train.page.document import write_page
from train.page.run import PageRequest

__all__ = ["PageRequest", "write_page"]
