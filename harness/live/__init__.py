"""A run on a page, while it runs: renewed between trials, by a process of its own."""
