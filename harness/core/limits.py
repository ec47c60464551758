"""How much one generator process can be asked for."""

from typing import Final

# One Python process cannot send more than some 20,000 requests a second; beyond this a plan is
# a mistake rather than an experiment.
MAX_RPS: Final = 100_000
# What a trial's request log and rows may take: some 300 MB and 600 MB.
MAX_REQUESTS: Final = 5_000_000
