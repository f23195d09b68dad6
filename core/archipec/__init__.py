"""Archive Italian certified mail (PEC): every byte as sealed, every receipt kept, every copy read back."""

__version__ = "0.1.0"
