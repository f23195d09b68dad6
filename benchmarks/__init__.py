"""Benchmarks of archipec beside mbsync and a floor in C: `python benchmarks/run.py`, or `make bench`."""
