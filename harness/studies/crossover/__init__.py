"""Where two architectures change places."""
