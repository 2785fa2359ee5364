"""Runbooks as pages that can be read, listed, and stepped through."""
