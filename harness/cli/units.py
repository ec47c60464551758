"""Figures as people write them: those of `harness.units`."""

from harness.units import duration, microseconds, number, rate, share, size

__all__ = ["duration", "microseconds", "number", "rate", "share", "size"]
