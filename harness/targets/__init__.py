"""A server that can be measured: how it is started, asked and watched."""
