"""`python -m harness.cli`: the same as `labrun`."""

import sys

from harness.cli import main

sys.exit(main())
