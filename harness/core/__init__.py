"""`run.json` as types, the metrics, units and words, errors, text from elsewhere."""
