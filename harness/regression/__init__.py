"""Did it get worse? Thresholds, what may be compared, verdicts, history. Nothing here measures."""
