"""What is shown of a pipeline to whoever answers for it: facts, charts, a page, a table, JSON."""
