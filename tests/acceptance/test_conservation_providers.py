"""Conservation through the command line: real servers, doubles that are programs of their own, and what goes wrong."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import pytest

from archipec.simulator import mailbox, shared_authority, to_pem
from testbed.command import Archipec, Result, imap_url
from testbed.doubles import Conservator, SacerDouble
from testbed.dovecot import Dovecot
from testbed.drops import ftps_drop, sftp_drop, webdav_drop
from testbed.requirements import require
from testbed.sshd import SFTPServer

pytestmark = pytest.mark.real

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 500 if FULL else 40
FEW = 12
# Deposits, each killed twice while depositing, or four times while asking.
KILLED = 15 if FULL else 1
SUPPORT = Path(__file__).parent.parent / "support"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root") / "root.pem"
    path.write_text(to_pem(shared_authority().root), "ascii")
    return path


@pytest.fixture(scope="module")
def saved_mail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few messages as files."""
    folder = tmp_path_factory.mktemp("mail")
    for number, sample in enumerate(mailbox(FEW, seed=3)):
        (folder / f"{number}.eml").write_bytes(sample.raw)
    return folder


class Deposit:
    """A sink in a folder of its own, and the command that uses it."""

    def __init__(
        self, scheme: str, table: dict[str, Any], password: str, source: str, temp: Path, root: Path
    ) -> None:
        known = {name: table.pop(name) for name in ("user", "host", "port", "path")}
        options = table | {"outbox": temp / "outbox", "wait": 0, "trust": root}
        if "key_file" not in options:
            options["password"] = "env:DEPOSIT_PASSWORD"
        user = quote(known["user"], safe="")
        place = f"{user}@{known['host']}:{known['port']}/{known['path']}"
        self.to = f"conservation+{scheme}://{place}?{urlencode(options, quote_via=quote)}"
        self.outbox = temp / "outbox"
        self.source = source
        self.password = password
        self._basic = b64encode(f"{known['user']}:{password}".encode()).decode()
        self.command = Archipec(temp / "state", {"DEPOSIT_PASSWORD": password})

    def archive(self, expect: int = 0) -> Result:
        return self._checked(
            self.command("-v", "archive", "--from", self.source, "--to", self.to, expect=expect)
        )

    def settle(self, expect: int = 0) -> dict[str, Any]:
        """Settle; what is said of the sink."""
        result = self._checked(self.command("-v", "settle", "--to", self.to, "--json", expect=expect))
        return next(iter(result.object["sinks"].values()), {"stored": 0, "pending": 0})

    def verify(self) -> tuple[int, int]:
        """Verify; how many copies were looked at, and how many are as they should be."""
        report = self.command("verify", "--to", self.to, "--json").object
        return report["checked"], report["ok"]

    def _checked(self, result: Result) -> Result:
        said = result.out + result.err
        assert self.password not in said, "the password was shown"
        assert self._basic not in said
        assert quote(self.password) not in said
        return result


@pytest.fixture
def depositing(
    protocol: str, request: pytest.FixtureRequest, tmp_path: Path, root: Path, saved_mail: Path
) -> Callable[..., tuple[Deposit, Any]]:
    """Makes a deposit and its double, both new each time."""
    made = itertools.count()

    def make(source: str = f"eml:{saved_mail}", **options: Any) -> tuple[Deposit, Any]:
        temp = tmp_path / str(next(made))
        temp.mkdir()
        if protocol == "sacer":
            double = request.getfixturevalue("sacer")
            double.forget()
            table = double.table | {"path": "sacerws/VersamentoSync"} | options
            return Deposit("sacer", table, table.pop("password"), source, temp, root), double
        folder = f"{tmp_path.name}-{temp.name}"
        if protocol == "sftp":
            drop = sftp_drop(request.getfixturevalue("sshd"), folder, temp)
        elif protocol == "ftps":
            drop = ftps_drop(request.getfixturevalue("proftpd"), folder)
        else:
            drop = webdav_drop(request.getfixturevalue("webdav"), folder, form="zip")
        double = Conservator(drop.landing, temp / "conservator")
        request.addfinalizer(lambda: double.__exit__())
        table = drop.table | options
        return Deposit(drop.scheme, table, drop.password, source, temp, root), double.__enter__()

    return make


def kept_once(double: Any, expected: int) -> None:
    """The double has every message once."""
    if isinstance(double, SacerDouble):
        documents = [one for unit in double.saved() for one in unit["documents"]]
        assert sum(request["saved"] for request in double.requests()) == len(double.saved())
    else:
        assert not [taken for taken in double.taken() if taken["bad"]]
        documents = [one for taken in double.taken() for one in taken["documents"]]
    hashes = Counter(document["sha256"] for document in documents)
    assert len(hashes) == expected
    assert set(hashes.values()) == {1}, "deposited twice"


@pytest.mark.parametrize("protocol", ["sftp", "ftps", "webdav", "sacer"])
class TestDeposits:
    def test_mail_is_deposited_reported_and_verified(
        self, depositing: Callable[..., Any], tmp_path: Path, protocol: str
    ) -> None:
        mail = tmp_path / "mail"
        mail.mkdir()
        for number, sample in enumerate(mailbox(MESSAGES, seed=5, size=4000)):
            (mail / f"{number}.eml").write_bytes(sample.raw)
        deposit, double = depositing(f"eml:{mail}")
        messages = len({path.read_bytes() for path in mail.iterdir()})
        deposit.archive()
        if protocol != "sacer":
            assert deposit.settle()["pending"] == messages
            double.look()
            assert deposit.settle()["stored"] == messages
        assert deposit.settle()["pending"] == 0
        assert deposit.verify() == (messages, messages)
        kept_once(double, messages)

    def test_a_wrong_password_is_tried_once(self, depositing: Callable[..., Any], protocol: str) -> None:
        deposit, double = depositing()
        deposit.command.env["DEPOSIT_PASSWORD"] = "un'altra parola"
        result = deposit.archive(expect=6)
        assert "refused the login" in result.err or "autenticazione" in result.err
        assert "un'altra parola" not in result.out + result.err
        if protocol == "sacer":
            assert [request["code"] for request in double.requests()] == ["UD-001-012"]
        deposit.command.env["DEPOSIT_PASSWORD"] = deposit.password
        deposit.archive()
        if protocol != "sacer":
            double.look()
            deposit.settle()
        kept_once(double, FEW)


@pytest.mark.parametrize("protocol", ["sftp"])
class TestSFTP:
    def test_an_unknown_host_key(self, depositing: Callable[..., Any], tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        deposit, _ = depositing(known_hosts=tmp_path / "empty")
        result = deposit.archive(expect=4)
        assert "SHA256:" in result.err and "ssh-keyscan" in result.err

    def test_a_mailbox_is_pruned_when_it_is_conserved(
        self, depositing: Callable[..., Any], sshd: SFTPServer, tmp_path: Path
    ) -> None:
        require("dovecot")
        with Dovecot() as server:
            server.fill("INBOX", [(sample.raw, sample.received) for sample in mailbox(FEW, seed=3)])
            source = imap_url(server, port=server.port, ca_file=server.ca_file)
            deposit, double = depositing(source, key_file=sshd.key_file)
            deposit.command.env["PEC_PASSWORD"] = server.password
            prune = ("prune", "--from", source, "--to", deposit.to, "--older-than", "1d", "--allow-large")
            deposit.archive()
            waiting = deposit.command(*prune, "--yes", "--json", expect=None).object
            assert waiting["deleted"] == 0, "deleted without proof"
            double.look()
            assert deposit.settle()["stored"] == FEW
            pruned = deposit.command(*prune, "--yes", "--json").object
            assert (pruned["proven"], pruned["deleted"]) == (FEW, FEW)
            assert server.raw_fetch("INBOX") == {}
        kept_once(double, FEW)


class TestKilled:
    """Killed at any moment of a deposit or a poll: the next run completes it, and nothing is there twice."""

    # How often each point is passed, at least, in one deposit.
    PASSED: ClassVar = {
        "sftp": {"freeze": 1, "move": 2, "write": 15, "rename": 1, "names": 2},
        "sacer": {"freeze": 5, "move": 5, "ask": 5, "report": 5, "decide": 5},
    }

    @pytest.mark.parametrize("protocol", ["sftp", "sacer"])
    def test_while_depositing(self, depositing: Callable[..., Any], tmp_path: Path, protocol: str) -> None:
        chance = random.Random(protocol)
        passed = self.PASSED[protocol]
        for number in range(KILLED):
            deposit, double = depositing()
            for again in range(2):
                point = chance.choice(sorted(passed))
                at = f"{chance.choice(('before', 'after'))}-{point}:{chance.randint(1, passed[point])}"
                reached = tmp_path / f"reached-{number}-{again}"
                killed = kill_at(deposit, at, reached, "archive", "--from", deposit.source)
                assert killed or again, f"{at} was not reached"
                if isinstance(double, Conservator):
                    double.look()
            complete(deposit, double)

    @pytest.mark.parametrize("protocol", ["sftp"])
    def test_while_asking(self, depositing: Callable[..., Any], tmp_path: Path) -> None:
        for number in range((KILLED + 1) // 2):
            deposit, double = depositing()
            deposit.archive()
            double.look()
            for point in ("before-read", "after-read", "before-decide", "after-report"):
                assert kill_at(deposit, f"{point}:1", tmp_path / f"{point}-{number}", "settle"), point
            assert deposit.settle()["stored"] == FEW, "a kill left something undone, or done too early"
            complete(deposit, double)


def kill_at(deposit: Deposit, point: str, reached: Path, *arguments: str) -> bool:
    """Run a command that is killed at a point, when it gets there; whether it did."""
    env = deposit.command.env | {"KILL_AT": point, "KILL_REACHED": str(reached), "PYTHONPATH": str(SUPPORT)}
    argv = deposit.command.argv(*arguments, "--to", deposit.to)[3:]
    done = subprocess.run(
        [sys.executable, "-m", "testbed.killed_provider", *argv],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == (-signal.SIGKILL if reached.exists() else 0), done.stderr
    return reached.exists()


def complete(deposit: Deposit, double: Any) -> None:
    deposit.archive()
    if isinstance(double, Conservator):
        double.look()
    deposit.settle()
    if isinstance(double, Conservator):
        double.look()
        deposit.settle()
    assert deposit.verify() == (FEW, FEW)
    state = deposit.command("status", "--json").object
    assert not state["sinks"][0].get("pending"), state
    kept_once(double, FEW)
