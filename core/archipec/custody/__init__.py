"""The work: what was seen, what is held, what was verified."""
