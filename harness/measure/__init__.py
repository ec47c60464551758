"""One trial from warm-up to final account; a run of many."""
