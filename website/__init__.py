"""The site: pages out of the repository's texts, notebooks, docstrings and recorded runs."""
