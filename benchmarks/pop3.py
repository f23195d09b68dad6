"""Measures the first download over POP3 and the run that finds nothing new: archipec beside mpop.

Real Dovecot on loopback, over TLS, at no delay and 40 ms away, on this disk and as if each flush took as long as on an
ordinary SSD; the tools take turns. Nothing is asserted about times.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

_ROOT = Path(__file__).resolve().parent.parent
# This folder is a package of the checkout, and so is the test bed; neither is installed.
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from benchmarks import corpus, measure, native, scenarios, tools
from testbed import requirements
from testbed.dovecot import Dovecot

_INSTALL = _ROOT / "tests" / "support" / "install-servers.sh"
_DELAYS_MS = (0, 40)


class Archipec(tools.Archipec):
    """archipec as installed in the Python that runs the benchmarks."""

    def command(self, account: tools.Account, directory: Path) -> list[str]:
        address = (
            f"pop3s://{quote(account.user, safe='@')}@{account.host}:{account.port}"
            f"?password=env:BENCH_PASSWORD&ca_file={quote(str(account.ca_file))}"
        )
        return [
            *(sys.executable, "-m", "archipec", "--state", str(directory / "state")),
            *(
                "archive",
                "--from",
                address,
                "--to",
                f"maildir:{directory / 'maildir'}",
                "--no-seals",
                "--json",
            ),
        ]


class Mpop:
    """mpop into a Maildir, leaving the mail on the server; it pipelines and flushes every message."""

    name = "mpop"
    # A Maildir of its has lines that end in LF.
    exact = False
    repeats = True

    def __init__(self, program: str) -> None:
        self._program = program

    def command(self, account: tools.Account, directory: Path) -> list[str]:
        config = directory / "mpoprc"
        if not config.exists():
            for name in ("cur", "new", "tmp"):
                (directory / "maildir" / name).mkdir(parents=True)
            config.touch(0o600)
            config.write_text(f"""
account default
host {account.host}
port {account.port}
user {account.user}
password "{account.password}"
tls on
tls_starttls off
tls_trust_file {account.ca_file}
delivery maildir {directory}/maildir
uidls_file {directory}/uidls
keep on
received_header off
pipelining on
""")
        return [self._program, "-C", str(config), "-q"]

    def messages(self, directory: Path) -> Iterator[Path]:
        return (directory / "maildir" / "new").iterdir()

    def fetched(self, output: str) -> int | None:  # noqa: ARG002  it says nothing
        return None


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a line for each delay; 0 when every tool did everything."""
    options = _parser().parse_args(arguments)
    native.install_missing()
    subprocess.run([_INSTALL, "/usr/bin/mpop:mpop"], check=True)
    if trouble := requirements.missing("dovecot-pop3"):
        _say(trouble)
        return 1
    compared: list[tools.Tool] = [Archipec()]
    if (mpop := requirements.find("mpop")) is not None:
        compared.append(Mpop(mpop))
    else:
        _say("mpop is not installed: going on without")
    sample = corpus.corpus(200 if options.quick else options.count, 20_000, corpus.default_cache())
    print(f"{'':20}" + "".join(f"{tool.name:>22}" for tool in compared) + "   mpop/archipec")
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        proxy = native.compiled("delay_proxy", temporary)
        slow_fsync = native.compiled("slow_fsync", temporary)
        room = 6 * len(compared) * options.runs * (sample.path.stat().st_size + sample.count * 4096) + (
            1 << 30
        )
        equipment = scenarios.Equipment(temporary, corpus.default_cache(), None, None, proxy)
        disk = stack.enter_context(scenarios.disk_for_tools(equipment, room, 10 * room // 20_000))
        server = stack.enter_context(Dovecot(storage="mdbox"))
        server.fill("INBOX", sample.messages())
        server.snapshot()
        slower = {"LD_PRELOAD": str(slow_fsync), "SLOW_FSYNC_MS": str(scenarios.SSD_FLUSH_MS)}
        for delay in _DELAYS_MS if proxy else (0,):
            port = server.pop3_port
            if delay and proxy:
                port = stack.enter_context(native.far_away(proxy, port, delay))
            account = tools.Account(server.host, port, server.user, server.password, server.ca_file)
            for disk_name, extra in (("", {}), (" ssd", slower)) if slow_fsync else (("", {}),):
                name = f"{delay} ms{disk_name}"
                _compare(compared, account, disk / name, sample.digests(), options.runs, name, extra)
    return 0


def _compare(
    compared: Sequence[tools.Tool],
    account: tools.Account,
    disk: Path,
    expected: set[bytes],
    runs: int,
    name: str,
    extra: Mapping[str, str],
) -> None:
    seconds: dict[tuple[str, str], list[float]] = {}
    peaks: dict[str, float] = {}
    for run in range(runs):
        # Each tool goes first in its turn.
        for tool in (*compared[run % len(compared) :], *compared[: run % len(compared)]):
            directory = disk / f"{run}-{tool.name}"
            directory.mkdir(parents=True)
            command = tool.command(account, directory)
            surroundings = tools.environment(account, directory, extra)
            for which in ("first", "nothing new"):
                done = measure.measured(command, surroundings, directory)
                seconds.setdefault((which, tool.name), []).append(done.seconds)
                peaks[tool.name] = max(peaks.get(tool.name, 0), done.peak_mb)
                if which == "first" and (trouble := tools.problem(tool, directory, done.output, expected)):
                    raise measure.RunFailed(trouble)
    for which in ("first", "nothing new"):
        medians = [statistics.median(seconds[which, tool.name]) for tool in compared]
        cells = "".join(
            f"{median:>12.2f} s {peaks[tool.name]:>4.0f} MB"
            for tool, median in zip(compared, medians, strict=True)
        )
        ratio = f"{medians[1] / medians[0]:>14.1f}x" if len(medians) > 1 else ""
        print(f"{f'{which} {name}':<24}{cells}{ratio}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/pop3.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small mailbox: to see that it works")
    parser.add_argument("--count", type=int, default=5000, help="messages of 20 kB (default: 5000)")
    parser.add_argument("--runs", type=int, default=3, help="downloads by each tool (default: 3)")
    return parser


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
