"""What every conservation provider shares: units, outbox, package, proof. A provider adds how to deposit and to ask.

Providers begin with `archipec.conservation.provider`; `docs/plugin-conservation.md` is the guide.
"""
