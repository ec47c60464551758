"""The implementation of each command of `labrun`."""
