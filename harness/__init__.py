"""The laboratory: plans trials, drives load, observes, keeps the record, draws and judges.

It starts servers as processes and speaks to them by socket only.
"""
