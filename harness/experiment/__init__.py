"""The experiment: which trials, in which order, and how one is run."""
