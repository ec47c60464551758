"""The life of one request, step by step."""
