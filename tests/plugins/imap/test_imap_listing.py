"""What a listing's answers tell of the cursor it goes on from."""

from __future__ import annotations

import pytest

from archipec_plugins.imap.listing import Cursor, FolderListing


@pytest.mark.parametrize(("size", "renumbered"), [(100, False), (90, True)])
def test_another_size_of_the_message_at_the_cursor_means_other_numbers(size: int, renumbered: bool) -> None:
    """Though UIDVALIDITY is the same, as some servers leave it."""
    listing = FolderListing(Cursor(7, 3, 100), 3)
    answer = b'* 3 FETCH (UID 3 RFC822.SIZE %d INTERNALDATE " 1-Mar-2026 09:30:00 +0000" FLAGS ())\r\n' % size
    assert listing.take(answer) is None
    assert listing.renumbered is renumbered
