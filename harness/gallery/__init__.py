"""The gallery: summaries of runs on other people's machines, and what they say together."""
