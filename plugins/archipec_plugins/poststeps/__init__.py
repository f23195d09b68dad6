"""Built-in post-steps."""
