"""The list of guards that are taken out one by one (`mutation_check`) fits the code: each is still there, once."""

from __future__ import annotations

import mutation_check


def test_every_mutant_fits_the_code() -> None:
    assert not mutation_check.misfits()
