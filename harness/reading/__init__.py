"""A run's folder, read back: records of strangers and of older versions."""
