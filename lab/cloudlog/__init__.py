"""Cloud Logging, as far as a reader of entries sees it: what was written, and `entries.list`."""
