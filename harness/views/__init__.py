"""How a chart, a table, a page look, whatever they show."""
