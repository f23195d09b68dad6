"""Transactions from the ledger, and their messages exported."""
