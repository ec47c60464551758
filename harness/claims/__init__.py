"""The document's claims on trial: what it says, what was measured here, and a verdict on each.

Nothing here measures. `harness.claims.judge.judge_run` judges a recorded run;
`harness.claims.itself.checks` holds the document against itself.
"""

from harness.claims.judge import judge_run

__all__ = ["judge_run"]
