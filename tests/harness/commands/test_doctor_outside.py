"""`labrun doctor` says what of a server by command this machine does not show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LESS_ALLOWED = Path(__file__).parents[2] / "support" / "less_allowed.py"


def test_what_may_not_be_observed_is_listed_with_what_would_mend_it() -> None:
    doctor = [sys.executable, "-P", "-m", "harness.cli", "doctor", "--duration", "0", "--json"]
    done = subprocess.run(
        [sys.executable, str(LESS_ALLOWED), "no-perf", *doctor],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    found = [f for f in json.loads(done.stdout)["findings"] if f["check"] == "servers by command"]
    good, missing = found
    assert good["level"] == "good"
    assert good["found"].startswith("seen from outside: CPU time, ")
    assert missing["level"] == "doubtful"
    assert missing["found"].startswith(
        "no context switches and no threads born and ended: the kernel does not allow perf events"
    )
    assert missing["mend"]
