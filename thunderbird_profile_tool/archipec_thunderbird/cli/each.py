"""Does the same in several profiles: what fails in one does not keep it from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archipec.errors import ArchipecError, exit_code
from archipec.terminal import say_error
from archipec_thunderbird.profiles import Profile

__all__ = ["for_each"]


def for_each(profiles: Sequence[Profile], work: Callable[[Profile], int]) -> int:
    """Do the work in each profile, saying what went wrong, and return the one exit code for all.

    Raises:
        ArchipecError: the only profile's error.
    """
    if len(profiles) == 1:
        return work(profiles[0])
    codes = set()
    for profile in profiles:
        try:
            codes.add(work(profile))
        except ArchipecError as error:
            say_error(error)
            codes.add(error.exit_code)
    return exit_code(codes)
