"""The change log of a continuously captured source, and the sealing of what is secret in it."""

from dr.changelog.entries import Entry, Head
from dr.changelog.following import catch_up_by_other
from dr.changelog.reader import LogReader
from dr.changelog.writer import LogWriter

__all__ = ["Entry", "Head", "LogReader", "LogWriter", "catch_up_by_other"]
