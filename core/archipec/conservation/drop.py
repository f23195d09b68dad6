"""`archipec.conservation.dropfolder` by its former name, for plugins written before version 0.1; until version 0.2."""

from archipec.conservation.dropfolder import DROP_OPTIONS, DropProvider, RemoteFolder

Place = RemoteFolder

__all__ = ["DROP_OPTIONS", "DropProvider", "Place"]
