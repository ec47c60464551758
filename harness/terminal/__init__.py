"""Terminal output: tables, live views, plots."""
