"""What every test needs."""

from __future__ import annotations

import signal

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
# Tests press Ctrl-C on real processes, which must be able to notice.
signal.signal(signal.SIGINT, signal.default_int_handler)
