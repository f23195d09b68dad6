"""What is shown of a pipeline to whoever answers for it: facts, charts, a page, a PDF, a table, JSON; PDF files of messages."""
