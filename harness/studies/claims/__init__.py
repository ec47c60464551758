"""The document's claims on trial: what it says, what was measured here, and a verdict on each.

Nothing here measures. `harness.studies.claims.judge.judge_about` judges the claims that are about a
recorded run, `judge_run` all of them; `consistency.checks` holds the document against itself.
"""

from harness.studies.claims.judge import judge_about, judge_run

__all__ = ["judge_about", "judge_run"]
