"""Configuration objects of a cluster: followed by watch into a change log, restored as of an instant by server-side apply."""
