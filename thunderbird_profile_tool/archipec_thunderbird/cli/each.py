"""Does the same in several profiles: what fails in one does not keep it from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archipec_thunderbird.cli import DONE, say_error
from archipec_thunderbird.errors import ToolError
from archipec_thunderbird.profiles import Profile

__all__ = ["for_each"]

# Several outcomes: the first of these is the one a script must see.
_BY_WEIGHT = (7, 6, 4, 5, 3, DONE)


def for_each(profiles: Sequence[Profile], work: Callable[[Profile], int]) -> int:
    """Do the work in each profile, saying what went wrong, and return the one exit code for all.

    Raises:
        ToolError: the only profile's error.
    """
    if len(profiles) == 1:
        return work(profiles[0])
    codes = set()
    for profile in profiles:
        try:
            codes.add(work(profile))
        except ToolError as error:
            say_error(error)
            codes.add(error.exit_code)
    return next(code for code in _BY_WEIGHT if code in codes)
