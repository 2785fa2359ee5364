"""Backup and disaster-recovery orchestrator: says what was restored, checked and timed."""

__version__ = "0.1.0"
