"""What is shown on a terminal: tables, live views, plots."""
