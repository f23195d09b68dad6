"""Keeps the bugs of plugins apart from those of archipec."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from archipec.discovery import Record
from archipec.errors import ArchipecError, PluginBug

__all__ = ["own_errors"]

_log = logging.getLogger("archipec.plugins")


@contextmanager
def own_errors(record: Record) -> Iterator[None]:
    """Turn whatever a plugin raises outside the tree of errors into a PluginBug that names its distribution."""
    try:
        yield
    except ArchipecError:
        raise
    except Exception as error:
        _log.debug("where it failed:", exc_info=error)
        raise PluginBug(
            f'the plugin "{record.name}" ({_distribution(record)}) failed with {type(error).__name__}: {error}',
            hint="this is a bug: run again with -v and report what it shows",
        ) from error


def _distribution(record: Record) -> str:
    """Return the distribution and version that a record's code came with."""
    from importlib.metadata import packages_distributions, version

    package = getattr(record.open, "__module__", "").partition(".")[0]
    names = packages_distributions().get(package, [])
    return " ".join((names[0], version(names[0]))) if names else f"module {package}"
