"""The colours of servers, everywhere the same. Light: no drawing is imported."""

from __future__ import annotations

from collections.abc import Sequence

# From the palette of Okabe and Ito (2008), which survives colour blindness; of it, a dark and a
# light colour, so that they survive greyscale too (relative luminance 0.10 and 0.42).
DARK, LIGHT = "#005A9C", "#E69F00"
KNOWN = {
    "thread-per-request": LIGHT,
    "thread-pool": DARK,
    "event-loop": "#009E73",
    "prefork": "#D55E00",
}
OTHERS = ("#CC79A7", "#56B4E9", "#6B4C9A", "#7A5C00")
INVALID = "#9A9A9A"


def colours_of(backends: Sequence[str]) -> list[str]:
    """The colour of each backend, everywhere the same."""
    others = iter(OTHERS)
    return [KNOWN.get(backend) or next(others, INVALID) for backend in backends]


def slot_colours(backends: Sequence[str]) -> list[str]:
    """A colour for each slot; where a backend occurs again it has another one."""
    others = iter(OTHERS)
    found = []
    for slot, backend in enumerate(backends):
        again = backends.index(backend) != slot
        known = KNOWN.get(backend) or next(others, INVALID)
        found.append(next(others, INVALID) if again else known)
    return found
