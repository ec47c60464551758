"""Benchmarks are in no wheel. Last on the path, their folder hides no installed package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
