"""Runs of archive, prune and verify mixed at random with kills, faulty answers and damaged archives: nothing is lost.

A model outside the program remembers every message that was ever delivered and looks for its bytes itself, on the
server and in the files of the archives. After each step: what left the server is whole in every required archive; no
archive has less than before; exit code 0 never leaves anything out. ``ARCHIPEC_RANDOM_SEED=N,M`` repeats sequences.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from testbed.command import Archipec, Result
from testbed.killed import POINTS as ARCHIVE_POINTS
from testbed.killed import PRUNE_POINTS, ZIP_POINTS
from testbed.scripted_imap import DROP, Box, ScriptedImap, a_message

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
SEED = os.environ.get("ARCHIPEC_RANDOM_SEED")
SEEDS = [int(one) for one in SEED.split(",")] if SEED else range(1, 201 if FULL else 9)
STEPS: Final = 12 if FULL else 6
SUPPORT = Path(__file__).parent.parent / "support"
SINKS: Final = ("maildir", "mbox", "zip", "eml")
FOLDERS: Final = (b"INBOX", b"Posta inviata")


class Mailbox(ScriptedImap):
    """A server whose next run is spoilt as `spoil` says; ``excused`` are messages it then gives in no right form."""

    def __init__(self, folder: Path) -> None:
        super().__init__({name: Box() for name in FOLDERS}, folder)
        self.excused: set[str] = set()
        self.drops_after_expunge = False

    def heal(self) -> None:
        """Answer rightly from now on."""
        self.fetch = self.fetched = self.command = self.size = None
        self.excused, self.drops_after_expunge = set(), False

    def now(self) -> set[str]:
        """The messages that are there, by SHA-256."""
        return {digest(raw) for box in self.boxes.values() for raw in box.messages.values()}

    def _expunge(self, tag: bytes, command: bytes, box: Box) -> Iterator[bytes]:
        yield from super()._expunge(tag, command, box)
        if self.drops_after_expunge:
            yield DROP


def digest(raw: bytes) -> str:
    return sha256(raw).hexdigest()


# -- what servers do wrong -------------------------------------------------------------------------------


def _spoil(server: Mailbox, chance: random.Random) -> str:
    """Let the server answer wrongly from now on; say how."""
    places = [(name, uid) for name, box in server.boxes.items() for uid in box.messages]
    chosen = {place for place in places if chance.random() < 0.3} or set(places[:1])
    fault = chance.choice(_FAULTS)
    fault(server, chosen, chance)
    return f"{fault.__name__.removeprefix('_')} {sorted(uid for _, uid in chosen)}"


_Places = set[tuple[bytes, int]]


def _answering(
    server: Mailbox, chosen: _Places, kind: Callable[[bytes], bool], make: Callable[[bytes, int], bytes]
) -> None:
    """Answer each FETCH of chosen messages of some kind by ``make(raw, uid)``."""

    def fetch(_tag: bytes, name: bytes, uid: int, wanted: bytes) -> bytes | None:
        if (name, uid) not in chosen or not kind(wanted):
            return None
        return make(server.boxes[name].messages[uid], uid)

    server.fetch = fetch


def _is_body(wanted: bytes) -> bool:
    return b"[]" in wanted


def _is_listing(wanted: bytes) -> bool:
    return b"RFC822.SIZE" in wanted and b"[]" not in wanted


def _literal(raw: bytes, uid: int) -> bytes:
    return b"* 1 FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (uid, len(raw), raw)


def _silence(server: Mailbox, chosen: _Places, _chance: random.Random) -> None:
    _answering(server, chosen, _is_body, lambda _raw, _uid: b"")


def _empty(server: Mailbox, chosen: _Places, _chance: random.Random) -> None:
    _answering(server, chosen, _is_body, lambda _raw, uid: b'* 1 FETCH (UID %d BODY[] "")\r\n' % uid)


def _nil(server: Mailbox, chosen: _Places, _chance: random.Random) -> None:
    _answering(server, chosen, _is_body, lambda _raw, uid: b"* 1 FETCH (UID %d BODY[] NIL)\r\n" % uid)


def _short(server: Mailbox, chosen: _Places, chance: random.Random) -> None:
    _answering(server, chosen, _is_body, lambda raw, uid: _literal(raw[: chance.randrange(1, len(raw))], uid))


def _equally_short(server: Mailbox, chosen: _Places, _chance: random.Random) -> None:
    """Complete by its own account, and each time the same: nobody can tell it from a size that is told wrongly."""
    _answering(server, chosen, _is_body, lambda raw, uid: _literal(raw[: len(raw) // 2], uid))
    server.excused = {digest(server.boxes[name].messages[uid]) for name, uid in chosen}


def _drop(server: Mailbox, chosen: _Places, chance: random.Random) -> None:
    times = chance.choice((1, 1000))

    def make(raw: bytes, uid: int) -> bytes:
        nonlocal times
        times -= 1
        return _literal(raw, uid)[: len(raw) // 2] + DROP if times >= 0 else _literal(raw, uid)

    _answering(server, chosen, _is_body, make)


def _omit(server: Mailbox, chosen: _Places, _chance: random.Random) -> None:
    _answering(server, chosen, _is_listing, lambda _raw, _uid: b"")


def _double(server: Mailbox, chosen: _Places, _chance: random.Random) -> None:
    _answering(
        server,
        chosen,
        _is_listing,
        lambda raw, uid: (
            b'* 1 FETCH (UID %d RFC822.SIZE %d INTERNALDATE "03-Mar-2025 10:00:00 +0100" FLAGS ())\r\n'
            % (uid, len(raw))
            * 2
        ),
    )


def _wrong_size(server: Mailbox, chosen: _Places, chance: random.Random) -> None:
    uids, off = {uid for _, uid in chosen}, chance.choice((-7, 1, 3000))
    server.size = lambda uid, raw: max(1, len(raw) + off) if uid in uids else len(raw)


def _refuse(server: Mailbox, _chosen: _Places, _chance: random.Random) -> None:
    server.fetched = lambda tag, wanted, _uids: tag + b" NO not now\r\n" if _is_body(wanted) else None


def _keep(server: Mailbox, _chosen: _Places, _chance: random.Random) -> None:
    """Answer OK to an order to delete, and delete nothing."""
    server.command = lambda tag, said: tag + b" OK done\r\n" if b"EXPUNGE" in said.upper() else None


def _drop_order(server: Mailbox, _chosen: _Places, chance: random.Random) -> None:
    """Break the connection at an order instead of carrying it out."""
    word = chance.choice((b"UID STORE", b"UID EXPUNGE"))
    server.command = lambda _tag, said: DROP if said.upper().startswith(word) else None


def _drop_answer(server: Mailbox, _chosen: _Places, _chance: random.Random) -> None:
    """Carry the order out and break the connection."""
    server.drops_after_expunge = True


def _renumber(server: Mailbox, _chosen: _Places, chance: random.Random) -> None:
    """Number all messages anew, with another UIDVALIDITY or, as no server may, without."""
    for box in server.boxes.values():
        first = box.uidnext + chance.randrange(3)
        if chance.random() < 0.7:
            box.validity += 1
            first = 1
        old = sorted(box.messages.items())
        box.messages = {first + place: raw for place, (_, raw) in enumerate(old)}
        box.flags = {first + place: box.flags[uid] for place, (uid, _) in enumerate(old) if uid in box.flags}
        box.uidnext = first + len(old)


_FAULTS: Final = (
    *(_silence, _empty, _nil, _short, _equally_short, _drop, _omit, _double, _wrong_size, _refuse),
    *(_keep, _drop_order, _drop_answer, _renumber),
)


# -- archives --------------------------------------------------------------------------------------------


class Archive:
    """An archive's files, read without archipec.

    Attributes:
        unnoticed: messages whose bytes were damaged, and no `verify` has said so yet.
        damaged: messages whose bytes were ever damaged here.
        settled: messages that were intact when an archive run last ended by itself. What a killed one leaves of a batch
            that it has not committed is no part of the archive, and the next one clears it away.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self.unnoticed: set[str] = set()
        self.damaged: set[str] = set()
        self.settled: set[str] = set()

    def files(self) -> list[Path]:
        return sorted(
            path for path in self.root.rglob("*") if path.is_file() and path.name != ".archipec.lock"
        )

    def intact(self, messages: dict[str, bytes]) -> set[str]:
        """The messages whose bytes are there in one piece."""
        there = [path.read_bytes() for path in self.files() if path.suffix != ".toc"]
        if self.name in ("maildir", "eml"):
            return set(messages) & {digest(raw) for raw in there}
        return {key for key, raw in messages.items() if any(self._form(raw) in data for data in there)}

    def _form(self, raw: bytes) -> bytes:
        return re.sub(rb"(?m)^(>*From )", rb">\1", raw) if self.name == "mbox" else raw

    def damage(self, chance: random.Random, messages: dict[str, bytes]) -> str:
        """Damage one file."""
        files = self.files()
        if not files:
            return "nothing to damage"
        before = self.intact(messages)
        path, way = chance.choice(files), chance.choice(("flip", "delete", "truncate"))
        raw = path.read_bytes()
        if way == "delete":
            path.unlink()
        elif raw:
            at = chance.randrange(len(raw))
            flipped = raw[:at] + bytes((raw[at] ^ 1 << chance.randrange(8),)) + raw[at + 1 :]
            path.chmod(0o600)
            path.write_bytes(flipped if way == "flip" else raw[:at])
        lost = before - self.intact(messages)
        self.unnoticed |= lost
        self.damaged |= lost
        return f"{way} {path.relative_to(self.root)}: {len(lost)} messages damaged"


# -- a sequence ------------------------------------------------------------------------------------------


class Sequence:
    """One random sequence and its model."""

    def __init__(self, seed: int, folder: Path, server: Mailbox) -> None:
        self.chance = random.Random(seed)
        self.server = server
        self.delivered: dict[str, bytes] = {}
        self.steps: list[str] = []
        self.last: Result | None = None
        types = ("maildir", self.chance.choice(("mbox", "zip"))) if seed % 2 else self.chance.sample(SINKS, 2)
        self.archives = [Archive(name, folder / name) for name in types]
        config = folder / "archipec.toml"
        sinks = "".join(
            f"[[pipeline.sink]]\ntype = {json.dumps(one.name)}\npath = {json.dumps(str(one.root))}\n"
            for one in self.archives
        )
        self.auto = self.chance.random() < 0.2
        config.write_text(
            '[[pipeline]]\nname = "studio"\nseals = false\n[pipeline.source]\ntype = "imap"\nuser = "u"\n'
            f'host = "127.0.0.1"\nport = {server.port}\npassword = "env:PEC_PASSWORD"\n'
            f"ca_file = {json.dumps(str(server.certificate.ca_file))}\n"
            f"connections = {self.chance.choice((1, 1, 2))}\n{sinks}"
            '[pipeline.prune]\nolder_than = "1d"\nmax_share = "100%"\n'
            f"auto = {'true' if self.auto else 'false'}\n"
        )
        self.command = Archipec(folder / "state", {"PEC_PASSWORD": "x"})
        self.options = ("--config", config)
        self.reached = folder / "reached"

    def run(self) -> None:
        """Take the steps; then let everything be well."""
        self.deliver()
        for _ in range(STEPS):
            self.chance.choices(
                (self.deliver, self.archive, self.prune, self.verify, self.damage), (3, 4, 4, 1, 1)
            )[0]()
        self.finish()

    # -- steps

    def deliver(self) -> None:
        """Let mail arrive."""
        number = self.chance.choice((1, 3, 8))
        self.steps.append(f"deliver {number}")
        for _ in range(number):
            name = self.chance.choice(FOLDERS)
            again = self.chance.random() < 0.1 and self.delivered
            raw = self.chance.choice(list(self.delivered.values())) if again else self._message()
            if digest(raw) in self.delivered and digest(raw) not in self.server.now():
                continue  # once pruned and damaged, its coming back would be another story
            self.delivered[digest(raw)] = raw
            self.server.boxes[name].add(raw)

    def _message(self) -> bytes:
        lines = [
            self.chance.choice(
                (
                    b"Corpo di prova",
                    b"From qui in poi",
                    b"",
                    b">From x",
                    self.chance.randbytes(9).hex().encode(),
                )
            )
            for _ in range(self.chance.choice((1, 5, 40, 40, 400)))
        ]
        return a_message(len(self.delivered) + 1, b"\r\n".join(lines) + b"\r\n")

    def archive(self) -> None:
        """Archive, now and then with the server's or the machine's ill will."""
        self._command("archive", "--json", *(["--full"] if self.chance.random() < 0.2 else []))

    def prune(self) -> None:
        """Delete what is proven."""
        self._command("prune", "--yes", "--json")

    def verify(self) -> None:
        """Read everything back."""
        self._command("verify", "--json")

    def damage(self) -> None:
        """Damage an archive."""
        one = self.chance.choice(self.archives)
        self.steps.append(f"damage {one.name}: {one.damage(self.chance, self.delivered)}")

    def _command(self, *arguments: str) -> None:
        step = " ".join(arguments)
        how = self.chance.choices(("well", "faulty", "killed", "killed at"), (4, 4, 1, 1))[0]
        if how == "faulty" and self.server.now():
            step += f", the server: {_spoil(self.server, self.chance)}"
        before, held = self.server.now(), self._held()
        result = self._run(arguments, how)
        self.last = result
        self.steps.append(f"{step} ({how}): {result.code}")
        self.check(arguments, result, before, held)
        self.server.heal()

    def _run(self, arguments: tuple[str, ...], how: str) -> Result:
        if how == "killed at":
            points = [*ARCHIVE_POINTS, *ZIP_POINTS] if arguments[0] == "archive" else PRUNE_POINTS
            return self._killed_at(f"{self.chance.choice(points)}:{self.chance.choice((1, 1, 2))}", arguments)
        process = self.command.start(*self.options, *arguments)
        try:
            out, err = process.communicate(timeout=self.chance.uniform(0.2, 1) if how == "killed" else 120)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return Result(process.returncode, out, err)

    def _killed_at(self, point: str, arguments: tuple[str, ...]) -> Result:
        env = self.command.env | {
            "KILL_AT": point,
            "KILL_REACHED": str(self.reached),
            "PYTHONPATH": str(SUPPORT),
        }
        argv = [sys.executable, "-m", "testbed.killed", *self.command.argv(*self.options, *arguments)[3:]]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
        self.steps.append(f"(to be killed at {point})")
        return Result(done.returncode, done.stdout, done.stderr)

    # -- what must hold

    def _held(self) -> list[set[str]]:
        return [one.intact(self.delivered) for one in self.archives]

    def check(
        self, arguments: tuple[str, ...], result: Result, before: set[str], held: list[set[str]]
    ) -> None:
        """Hold the outcome against the model."""
        command = arguments[0]
        assert result.code in {0, 3, 4, 5, 7, 8, -signal.SIGKILL}, f"exit code {result.code}"
        there, gone = self.server.now(), before - self.server.now()
        assert not gone or command == "prune" or self.auto, f"{command} deleted {gone}"
        after = self._held()
        for one, was, now in zip(self.archives, held, after, strict=True):
            assert was & one.settled <= now, f"{one.name} has lost {was & one.settled - now}"
            if command == "archive" and result.code >= 0:
                one.settled = now
            assert gone <= now, f"deleted, and not in {one.name}: {gone - now}"
            lost = set(self.delivered) - there - now - one.damaged
            assert not lost, f"neither on the server nor in {one.name}: {lost}"
            if command == "archive" and result.code == 0:
                missing = there - now - one.unnoticed - self.server.excused
                assert not missing, f"exit code 0, and {one.name} has not {missing}"
            if command == "verify" and result.code == 0:
                assert one.unnoticed <= now, f"verify missed damage in {one.name}: {one.unnoticed - now}"
        if command == "verify" and result.code >= 0:
            self._noticed(result)

    def _noticed(self, result: Result) -> None:
        findings = [
            (one["sink"], one["sha256"]) for shape in result.objects for one in shape.get("findings", ())
        ]
        for one in self.archives:
            one.unnoticed -= {key for sink, key in findings if sink == one.name}

    def finish(self) -> None:
        """With a healthy server and whole archives, everything is soon in its place."""
        self._well("archive", "--json")
        if any(one.damaged for one in self.archives) or any("damage" in step for step in self.steps):
            return
        self._well("archive", "--json")
        assert self.last is not None and self.last.code == 0, "a healthy server is not archived"
        self._well("verify", "--json")
        assert self.last.code == 0, "what is whole is not verified"
        for one in self.archives:
            assert one.intact(self.delivered) == set(self.delivered)
        marks = [
            box.flags[uid] for box in self.server.boxes.values() for uid in box.messages if uid in box.flags
        ]
        assert not any(b"\\Deleted" in flags for flags in marks), "a mark to delete was left behind"

    def _well(self, *arguments: str) -> None:
        before, held = self.server.now(), self._held()
        result = self.last = self._run(arguments, "well")
        self.steps.append(f"{' '.join(arguments)} (at the end): {result.code}")
        self.check(arguments, result, before, held)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_whatever_happens(seed: int, tmp_path: Path) -> None:
    with Mailbox(tmp_path / "tls") as server:
        sequence = Sequence(seed, tmp_path, server)
        try:
            sequence.run()
        except AssertionError as error:
            steps = "\n  ".join(sequence.steps)
            said = f"{sequence.last.out}\n{sequence.last.err}" if sequence.last else ""
            raise AssertionError(f"{error}\nARCHIPEC_RANDOM_SEED={seed}:\n  {steps}\n{said}") from error


def test_the_model_sees_what_it_is_for(tmp_path: Path) -> None:
    raw = a_message(1, b"From here\r\n")
    for name, form in (("maildir", raw), ("mbox", raw.replace(b"\nFrom ", b"\n>From ")), ("zip", raw)):
        folder = tmp_path / name / "cur"
        folder.mkdir(parents=True)
        (folder / "1").write_bytes(form)
        one = Archive(name, tmp_path / name)
        assert one.intact({digest(raw): raw}) == {digest(raw)}
        (folder / "1").write_bytes(form.replace(b"here", b"hers"))
        assert not one.intact({digest(raw): raw})
        (folder / "1").write_bytes(form)
        assert "1 messages damaged" in one.damage(random.Random(1), {digest(raw): raw})
        assert one.unnoticed == one.damaged == {digest(raw)}
