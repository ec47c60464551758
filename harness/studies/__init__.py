"""Questions: each folder plans, judges, and says and draws what came out."""
