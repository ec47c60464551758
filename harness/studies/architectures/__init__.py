"""All architectures side by side: one load each for what tells them apart."""
