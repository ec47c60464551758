"""What every test needs."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
# Tests press Ctrl-C on real processes, which must be able to notice.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No example is judged by how long it took, and each run tries the same ones: a machine that stands
# still for a moment fails no test, and one that fails does so again.
settings.register_profile(
    "lab", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lab")
