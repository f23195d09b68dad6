"""Plugins: found, taken in one at a time, and called through a boundary that keeps their faults theirs."""
