"""The lab's Cloud Storage: the JSON API over a crash-safe store, with permissions, retention and scriptable faults."""
