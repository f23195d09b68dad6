"""Sources that break one rule each, and the cases of the kit that must find out. Run by ``test_kit.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from archipec.contract import Fetched, Folder, Json, Listed, Quota, Skipped
from archipec.errors import IntegrityError, Interrupted, TransientError

from . import memory_source, test_reference
from .memory_source import MemorySource
from .wrong import Wrong, wrong

WRONG: dict[str, Wrong] = {}


def broken(*fails: str, says: str, **attributes: Any) -> Callable[[type[MemorySource]], type[MemorySource]]:
    """Register a broken `MemorySource`."""

    def register(source: type[MemorySource]) -> type[MemorySource]:
        record = replace(memory_source.MEMORY_SOURCE, open=memory_source.opener(source))
        fixtures = {"source_type": record}
        base = test_reference.TestMemorySource
        WRONG[source.__name__] = wrong(source.__name__, base, fixtures, fails=fails, says=says, **attributes)
        return source

    return register


@broken("test_reading_changes_nothing", says="reading must change nothing")
class SetsSeen(MemorySource):
    """Reads as a person does."""

    def message(self, folder: str, ref: str) -> bytes | None:
        """Leave a trace."""
        self.server.seen.add((folder, int(ref.rpartition("/")[2]) if ref[-1:].isdigit() else 0))
        return super().message(folder, ref)


@broken("test_refs_are_pulled_as_needed", says="not pull refs further ahead")
class PullsAllRefs(MemorySource):
    """Makes a list first."""

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read after that."""
        return super().fetch(folder, list(refs))


@broken(
    "test_a_message_that_is_gone_is_not_answered",
    says="must not answer a ref that names nothing|must hold nothing",
)
class AnswersUnknownRefs(MemorySource):
    """Gives an empty message for one that is gone."""

    def message(self, folder: str, ref: str) -> bytes | None:
        """Make something up."""
        return super().message(folder, ref) or b""


@broken("test_a_message_that_is_gone_is_not_answered", says="by an error of archipec.errors, not by")
class TrustsRefs(MemorySource):
    """Takes refs apart without looking."""

    def message(self, folder: str, ref: str) -> bytes | None:
        """Look it up by number."""
        return dict(self.server.folders[folder])[int(ref.split("/")[1])]


@broken("test_a_message_that_is_gone_is_not_answered", says="must be no error of (fetch|headers)")
class GoneIsAnError(MemorySource):
    """Stops for a message that is gone."""

    def message(self, folder: str, ref: str) -> bytes | None:
        """Complain."""
        raw = super().message(folder, ref)
        if raw is None:
            raise IntegrityError(f"message {ref!r} is gone")
        return raw


@broken(
    "test_a_cursor_gives_exactly_the_rest",
    says="exactly what came later|cursor must mean the same|new message",
)
class CursorOffByOne(MemorySource):
    """Lists the last one again."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Move every cursor back."""
        for listed in super().scan(folder, after):
            yield listed._replace(cursor=[listed.cursor[0], listed.cursor[1] - 1])  # type: ignore


@broken(
    "test_a_meaningless_cursor_lists_everything",
    says="not by TypeError|meaningless cursor must list everything",
)
class TrustsCursors(MemorySource):
    """Takes cursors apart without looking."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Compare numbers."""
        return (e for e in super().scan(folder, None) if after is None or e.cursor[1] > after[1])  # type: ignore


@broken(
    "test_a_cursor_outlives_its_opening", says="cursor must mean the same|cursor must survive|exactly the new"
)
class CursorOfTheSession(MemorySource):
    """Gives cursors that mean something in this opening alone."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Remember them."""
        known = self.__dict__.setdefault("known", {})
        for listed in super().scan(folder, known.get(str(after))):
            known[name := f"{id(self)}-{folder}-{listed.ref}"] = listed.cursor
            yield listed._replace(cursor=name)


@broken("test_a_cursor_gives_exactly_the_rest", says="a cursor must survive JSON unchanged")
class CursorIsATuple(MemorySource):
    """Gives a cursor that comes back as something else."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Give tuples."""
        for listed in super().scan(folder, after):
            yield listed._replace(cursor=tuple(listed.cursor))  # type: ignore[arg-type]


@broken("test_a_cursor_gives_exactly_the_rest", says="a cursor must be JSON")
class CursorIsADate(MemorySource):
    """Gives a cursor that JSON can't hold."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Give dates."""
        for listed in super().scan(folder, after):
            yield listed._replace(cursor=datetime.now().astimezone())  # type: ignore[arg-type]


@broken("test_bytes_are_those_kept", says="byte for byte|size must be exact|headers must be")
class NormalisesBytes(MemorySource):
    """Gives every line the end that RFC 5322 wants."""

    def chunks(self, raw: bytes) -> Iterator[bytes]:
        """Tidy up."""
        return super().chunks(b"\r\n".join(raw.splitlines()) + b"\r\n")


@broken("test_bytes_are_those_kept", says="byte for byte|size must be exact|headers must be|same bytes")
class LosesTheLastChunk(MemorySource):
    """Stops early."""

    def chunks(self, raw: bytes) -> Iterator[bytes]:
        """Leave the rest."""
        return iter(list(super().chunks(raw))[:-1])


@broken(
    "test_reading_again_gives_the_same",
    says="must name the same bytes|bytes must be right|must be whole|the same bytes",
)
class RefsOfTheSession(MemorySource):
    """Names messages by their place, newest first in every other session."""

    sessions = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        RefsOfTheSession.sessions += 1
        self.step = -1 if self.sessions % 2 else 1

    def message(self, folder: str, ref: str) -> bytes | None:
        """Count from one end or the other."""
        raws = [raw for _, raw in self.server.folders.get(folder, [])][:: self.step]
        known = [f"1/{number}" for number, _ in enumerate(raws, start=1)]
        return raws[known.index(ref)] if ref in known else None

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Tell no sizes, which would give it away."""
        return (listed._replace(size=None) for listed in super().scan(folder, after))


@broken("test_sizes_are_exact", says="a size must be exact")
class GuessesSizes(MemorySource):
    """Counts as a server does that counts line ends as one byte."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Guess."""
        return (listed._replace(size=(listed.size or 0) + 1) for listed in super().scan(folder, after))


@broken("test_listed_fields_are_usable", says="a time must be aware")
class NaiveTimes(MemorySource):
    """Leaves the zone out."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Give local times."""
        for listed in super().scan(folder, after):
            yield listed._replace(received=listed.received and listed.received.replace(tzinfo=None))


@broken("test_listing_names_each_message", says="list each message once")
class ListsTwice(MemorySource):
    """Lists the newest a second time."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Repeat."""
        last = None
        for last in super().scan(folder, after):
            yield last
        if last is not None:
            yield last


@broken(
    "test_listing_is_the_same_twice",
    says="must give the same refs|a cursor must|cursor must list everything|new message",
)
class ListsInAnyOrder(MemorySource):
    """Lists as a hash table does."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Turn round every time."""
        self.__dict__["turn"] = -self.__dict__.get("turn", 1)
        return iter(list(super().scan(folder, after))[:: self.__dict__["turn"]])


@broken("test_folders_are_the_same_twice", says="count must be right")
class MiscountsFolders(MemorySource):
    """Counts deleted messages too."""

    def folders(self) -> Iterator[Folder]:
        """Count one more."""
        return (replace(folder, messages=(folder.messages or 0) + 1) for folder in super().folders())


@broken("test_folders_are_the_same_twice", says="special use must be one of RFC 6154")
class SpecialWithBackslash(MemorySource):
    """Passes the attribute on as it came."""

    def folders(self) -> Iterator[Folder]:
        """Leave the backslash."""
        return (replace(folder, special="\\Sent") for folder in super().folders())


@broken("test_unread_chunks_do_not_harm_the_next", says="after one left unread|broken off")
class OneStreamForAll(MemorySource):
    """Reads from a connection and leaves there what nobody took."""

    def chunks(self, raw: bytes) -> Iterator[bytes]:
        """Begin with what the last one left."""
        rest: list[bytes] = self.__dict__.setdefault("rest", [])
        before, rest[:] = list(rest), []
        pieces = [*before, *super().chunks(raw)]
        rest += pieces
        for piece in pieces:
            rest.pop(0)
            yield piece


@broken("test_a_reading_broken_off", says="after a reading broken off|not by RuntimeError")
class NoSecondReading(MemorySource):
    """Is lost when a reading is broken off."""

    busy = False

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Allow one at a time and never notice its end."""
        if self.busy:
            raise RuntimeError("already reading")
        self.busy = True
        yield from super().fetch(folder, refs)
        self.busy = False


@broken("test_stopping_cuts_nothing", says="read while stopping must be whole")
class CutsWhenStopping(MemorySource):
    """Ends in the middle of a message."""

    def chunks(self, raw: bytes) -> Iterator[bytes]:
        """Stop at once."""
        return (piece for piece in super().chunks(raw) if not self.context.cancelled())


@broken("test_stopping_cuts_nothing", says="must end without error when the person")
class RaisesWhenStopping(MemorySource):
    """Takes Ctrl-C for an error."""

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Give up loudly."""
        for fetched in super().fetch(folder, refs):
            if self.context.cancelled():
                raise Interrupted("asked to stop")
            yield fetched


@broken(
    "test_headers_are_the_beginning_of_the_message", says="headers must be the message up to its blank line"
)
class HeadersAreTheMessage(MemorySource):
    """Reads bodies for a selection by kind."""

    def head(self, raw: bytes) -> bytes:
        """Return everything."""
        return raw


@broken(
    "test_headers_are_the_beginning_of_the_message", says="must answer every message|must answer a ref once"
)
class HeadersOfSome(MemorySource):
    """Leaves messages out."""

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Answer every other one."""
        return iter(list(super().headers(folder, refs))[::2])


@broken("test_half_a_message_is_an_error", says="half a message must be an error")
class HalfIsTheMessage(MemorySource):
    """Takes what came for all there is, as many HTTP clients do."""

    def chunks(self, raw: bytes) -> Iterator[bytes]:
        """Give what came."""
        return iter([self.received(raw)])


@broken("test_bytes_are_those_kept", says="are missing|must answer|same bytes|must be whole|must give")
class SaysNothingOfSome(MemorySource):
    """Lists messages that it never gives."""

    def message(self, folder: str, ref: str) -> bytes | None:
        """Leave one out."""
        return None if ref.endswith("/2") else super().message(folder, ref)


@broken("test_bytes_are_those_kept", says="byte for byte|size must be exact|same bytes|headers must be")
class GivesNoBytesOfSome(MemorySource):
    """Gives an empty body where something went wrong."""

    def chunks(self, raw: bytes) -> Iterator[bytes]:
        """Leave large ones out."""
        return iter(()) if len(raw) > 1000 else super().chunks(raw)


@broken("test_quota_is_sane", says="a quota must be bytes used of a limit")
class QuotaWithoutLimit(MemorySource):
    """Says 0 for unlimited."""

    def quota(self) -> Quota | None:
        """Return no limit."""
        return Quota(10, 0)


@broken("test_two_openings_at_once", says="in use")
class OneAtATime(MemorySource):
    """Locks the mailbox."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.server.__dict__.get("locked"):
            raise TransientError("mailbox in use")
        self.server.__dict__["locked"] = True

    def close(self) -> None:
        """Unlock."""
        self.server.__dict__["locked"] = False


@broken(
    "test_some_messages_of_a_folder",
    says="fetch must answer what it was asked for|answer nothing|names nothing|not pull refs|new message",
)
class ReadsTheWholeFolder(MemorySource):
    """Answers everything, whatever was asked."""

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read all."""
        list(refs)
        return super().fetch(folder, [listed.ref for listed in self.scan(folder, None)])


@broken("test_a_folder_that_is_not_there", says="not by KeyError")
class TrustsFolders(MemorySource):
    """Takes a missing folder for a bug of the caller."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """Look it up."""
        return super().scan(folder, after) if self.server.folders[folder] else iter(())


@broken("test_what_came_later_is_listed", says="exactly the new message")
class NeverLooksAgain(MemorySource):
    """Remembers the listing of the first session."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """List from memory."""
        listings = self.server.__dict__.setdefault("listings", {})
        known = listings.setdefault(folder, [each.ref for each in super().scan(folder, None)])
        return (listed for listed in super().scan(folder, after) if listed.ref in known)


@broken("test_says_nothing_by_itself", says="must not log a secret")
class LogsTheLogin(MemorySource):
    """Logs what it sends."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.context.log.debug("LOGIN studio %s", self.server.password)


@broken("test_what_is_passed_over_is_said", says="must be said to be passed over")
class PassesOverInSilence(MemorySource):
    """Reads what it can."""

    def skipped(self) -> Iterator[Skipped]:
        """Say nothing."""
        return iter(())


@broken("test_what_is_passed_over_is_said", says="must be said to be passed over")
class CallsMessagesNone(MemorySource):
    """Plays down what it leaves out."""

    def skipped(self) -> Iterator[Skipped]:
        """Say that it is no message."""
        return (one._replace(message=False) for one in super().skipped())


@broken("test_what_is_passed_over_is_said", says="by every run")
class SaysItOnce(MemorySource):
    """Thinks that it was heard."""

    def skipped(self) -> Iterator[Skipped]:
        """Forget what was said."""
        yield from super().skipped()
        self.server.locked.clear()


@broken("test_what_is_passed_over_is_said", says="must be named once")
class SaysItTwice(MemorySource):
    """Counts a thing for each time it met it."""

    def skipped(self) -> Iterator[Skipped]:
        """Say all again."""
        yield from super().skipped()
        yield from super().skipped()


@broken("test_what_is_passed_over_is_said", says="a name and a reason")
class GivesNoReason(MemorySource):
    """Leaves it to the reader."""

    def skipped(self) -> Iterator[Skipped]:
        """Name it and no more."""
        return (one._replace(reason="") for one in super().skipped())


@broken("test_folder_names_name_what_is_there", says="must name every folder that is there")
class NamesTheOthersAlone(MemorySource):
    """Names what it was not told to read."""

    def folder_names(self) -> frozenset[str]:
        """Leave out what is read."""
        return frozenset({"Trash"})


@broken("test_folder_names_name_what_is_there", says="must return names")
class NamesOneFolder(MemorySource):
    """Has one folder."""

    def folder_names(self) -> Any:
        """Return its name."""
        return "INBOX"


@broken("test_a_listing_is_called_whole_that_is", says="must not be called whole")
class CallsEveryListingWhole(MemorySource):
    """Takes the end of a listing for all of it."""

    def listed_whole(self, folder: str) -> bool:
        """Say yes."""
        return True


@broken("test_a_listing_is_called_whole_that_is", says="must return a bool")
class CountsListings(MemorySource):
    """Says how many it listed."""

    def listed_whole(self, folder: str) -> Any:
        """Return a number."""
        return len(self.server.folders[folder])


globals().update({each.cases.__name__: each.cases for each in WRONG.values()})
