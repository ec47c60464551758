"""What each command of `labrun` does."""
