"""The change log of a continuously captured source, and the sealing of what is secret in it."""
