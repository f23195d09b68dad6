"""Conservation providers: how each takes packages in and says what became of them.

What they share is `archipec.conservation`; the settings of each are in ``docs/conservation-providers.md``.
"""
