"""The built-in plugins: they enter by the same door as anybody's, the entry-point group ``archipec``."""
