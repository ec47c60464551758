"""Estimates, intervals, thresholds, steps. Pure: numbers in, numbers out."""
