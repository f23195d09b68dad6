"""The C programs of this folder, compiled when they are needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.requirements import find

HERE = Path(__file__).resolve().parent
_INSTALL = HERE.parent / "tests" / "support" / "install-servers.sh"


def compiled(name: str, directory: Path) -> Path | None:
    """Compile `name`.c into `directory`; the program (or library) made. None, and it is said why, where that can't be."""
    compiler = find("cc") or find("gcc")
    if compiler is None:
        _say_not_compiled(name, "no C compiler here")
        return None
    command = [compiler, "-O2", "-o"]
    if name == "slow_fsync":
        target = directory / f"{name}.so"
        command += [str(target), "-shared", "-fPIC", str(HERE / f"{name}.c"), "-ldl"]
    else:
        target = directory / name
        command += [str(target), str(HERE / f"{name}.c")]
    if name == "floor":
        command += ["-lssl", "-lcrypto"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        _say_not_compiled(name, done.stderr.strip())
        return None
    return target


def _say_not_compiled(name: str, reason: str) -> None:
    print(f"bench: {name}.c can't be compiled, going on without: {reason}", file=sys.stderr, flush=True)


def install_missing() -> None:
    """Have the system's packages installed that are missing, where that is possible."""
    packages = ("/usr/include/openssl/ssl.h:libssl-dev", "/usr/bin/mpop:mpop")
    subprocess.run([_INSTALL, *packages], check=True)


@contextmanager
def far_away(
    program: Path, port: int, round_trip_ms: float, bytes_a_second: float | None = None
) -> Iterator[int]:
    """Run the delaying proxy in front of a port on loopback; the port to connect to instead."""
    rate = [] if bytes_a_second is None else [str(bytes_a_second)]
    with subprocess.Popen(
        [program, str(port), str(round_trip_ms / 2), *rate], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as proxy:
        assert proxy.stdout is not None
        # Leaving the block closes the proxy's standard input, which ends it.
        yield int(proxy.stdout.readline())
