"""Text out of what messages hold: mail, HTML, documents, and files in files. All of it is hostile."""
