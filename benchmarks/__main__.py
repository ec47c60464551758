"""All benchmarks of the marks, one after the other: `python -m benchmarks` (some ten minutes)."""

from __future__ import annotations

import sys

from benchmarks import costs, generator, peak


def main() -> int:
    """The worst exit status."""
    sys.argv = sys.argv[:1]
    return max(peak.main(), generator.main(), costs.main())


if __name__ == "__main__":
    sys.exit(main())
