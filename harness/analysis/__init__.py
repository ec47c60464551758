"""Figures from recorded runs: intervals, comparisons, verdicts. Nothing here measures."""
