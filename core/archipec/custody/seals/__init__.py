"""Seals judged in processes of their own, and the verdicts recorded."""
