"""Locust in the generator's place."""
