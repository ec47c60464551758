"""Baseline and contenders: cells, ratios, the summary, charts."""
