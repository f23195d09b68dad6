"""How the viewer begins and ends, as a process: where it listens, how a browser is started, what is left of it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.command import Archipec
from testbed.viewer import Viewer, running

SIGNALS = [getattr(signal, name, None) for name in ("SIGTERM", "SIGINT", "SIGHUP")]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc are those of POSIX")


@pytest.fixture(name="archipec")
def _archipec(sample: Path) -> Archipec:
    return Archipec(sample / "state", {"ARCHIPEC_CONFIG": str(sample / "archipec.toml")})


def other_addresses() -> list[str]:
    """Addresses of this machine that are not loopback ones."""
    found = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found.add(probe.getsockname()[0])
        except OSError:
            pass
    return [one for one in found if not one.startswith("127.") and one != "0.0.0.0"]


# -- listening -----------------------------------------------------------------------------------------


def test_it_listens_on_this_machine_alone(viewer: Viewer) -> None:
    for address in [*other_addresses(), "127.0.0.2"]:
        with socket.socket() as probe:
            probe.settimeout(5)
            assert probe.connect_ex((address, viewer.port)) != 0, address


def test_the_port_may_be_chosen_and_is_given_free(archipec: Archipec) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        with running(archipec, "--port", port) as viewer:
            assert viewer.port == port
            viewer.let_in()
            assert viewer.ask("/").status == 200
            taken = archipec("view", "--no-browser", "--port", port, expect=5)
            assert f"port {port} is in use by another program" in taken.err and not taken.out


@pytest.mark.parametrize("port", ["80", "0", "65536", "x"])
def test_a_port_that_is_none_to_listen_on(archipec: Archipec, port: str) -> None:
    assert "port" in archipec("view", "--port", port, expect=2).err


@pytest.mark.parametrize("idle", ["", "1", "1d", "0s", "-1h", "9999999h", "1.5h", "x"])
def test_an_idle_time_that_is_none(archipec: Archipec, idle: str) -> None:
    assert "--idle must be a time such as" in archipec("view", f"--idle={idle}", expect=2).err


# -- the end -------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_in_good_order(archipec: Archipec, number: signal.Signals) -> None:
    with running(archipec) as viewer:
        viewer.let_in()
        with socket.create_connection(("127.0.0.1", viewer.port)) as held:
            held.sendall(b"GET / HTTP/1.1\r\n")  # a browser keeps connections open
            code, said = viewer.end(number)
        assert (code, said.splitlines()[-1]) == (0, "ended")
        assert "Traceback" not in said and "token" not in said
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", viewer.port)) != 0


def test_it_ends_when_it_is_not_used(archipec: Archipec) -> None:
    started = time.monotonic()
    with running(archipec, "--idle", "3s") as viewer:
        used = time.monotonic()
        viewer.let_in()
        # What is refused is no use of it; what is answered is.
        while used < started + 2:
            used = time.monotonic()
            assert viewer.ask("/").status == 200
        while viewer.process.poll() is None:
            try:
                assert viewer.ask("/", cookie="").status == 403
            except OSError:
                break
        code, said = viewer.end()
        assert (code, said.splitlines()[-1]) == (0, "ended: it was not used for 3 s")
        assert time.monotonic() - used >= 3


# -- starting a browser --------------------------------------------------------------------------------


@POSIX
def test_a_browser_is_started_without_the_token_in_its_command_line(
    archipec: Archipec, tmp_path: Path
) -> None:
    """What a process is started with, every user of the machine can read."""
    started, copy = tmp_path / "started", tmp_path / "copy.html"
    program = tmp_path / "browser"
    program.write_text(
        f'#!/bin/sh\nfile="${{1#file://}}"\ncp -p "$file" {copy}\nprintf "%s\\n" "$@" > {started}.part\nmv {started}.part {started}\n'
    )
    program.chmod(0o700)
    env = {**archipec.env, "BROWSER": f"{program} %s", "DISPLAY": ":99"}
    process = subprocess.Popen(
        archipec.argv("view"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    viewer = Viewer(process, process.stdout.readline().strip())
    try:
        end = time.monotonic() + 60
        while not started.exists() and time.monotonic() < end:
            time.sleep(0.02)
        token = viewer.address.partition("token=")[2]
        assert len(token) >= 43
        (given,) = started.read_text().splitlines()
        page = Path(given.removeprefix("file://"))
        assert page.parent == archipec.state / "view" and token not in given
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
        assert f'content="0; url={viewer.address}"' in copy.read_text()
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert token.encode() not in one.read_bytes()
            except OSError:
                continue
        assert page.exists()
        viewer.let_in()
        assert not page.exists(), "the address was used: what leads to it is of no use"
    finally:
        code, said = viewer.end()
    assert code == 0 and token not in said
    assert not list((archipec.state / "view").iterdir())


@POSIX
def test_without_a_screen_no_browser_takes_the_terminal(archipec: Archipec, tmp_path: Path) -> None:
    program = tmp_path / "browser"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    program.chmod(0o700)
    env = {name: value for name, value in archipec.env.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with running(Archipec(archipec.state, {**env, "BROWSER": str(program)})) as viewer:
        viewer.let_in()
    assert not (tmp_path / "started").exists()


# -- what is shown -------------------------------------------------------------------------------------


def test_nothing_archived_yet(tmp_path: Path) -> None:
    said = Archipec(tmp_path / "state")("view", "--no-browser", expect=4).err
    assert "nothing was archived yet" in said and "maildir:DIR" in said


def test_a_pipeline_by_name(archipec: Archipec) -> None:
    with running(archipec, "demo") as viewer:
        viewer.let_in()
        assert "demo" in viewer.ask("/").text
    said = archipec("view", "--no-browser", "dmo", expect=4).err
    assert 'no pipeline "dmo" was ever run' in said and "demo" in said
    assert "not both" in archipec("view", "demo", "--to", "maildir:x", expect=2).err


@pytest.mark.parametrize("archive", ["maildir:{}/archive-maildir", "mbox:{}/archive-mbox"])
def test_an_archive_without_its_ledger(sample: Path, tmp_path: Path, archive: str) -> None:
    alone = Archipec(tmp_path / "state")
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*") if path.is_file()}
    trust = ("--trust", sample / "test-provider-roots.pem")
    for _ in range(2):
        with running(alone, "--to", archive.format(sample), *trust) as viewer:
            viewer.let_in()
            reply = viewer.ask("/")
            assert reply.status == 200 and "60" in reply.text
            viewer.end()
    assert {path: path.stat().st_mtime_ns for path in sample.rglob("*") if path.is_file()} == before


def test_the_extra_is_named_where_it_is_not_installed(archipec: Archipec, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = sys.modules['jinja2'] = None\n"
        "sys.argv[0] = 'archipec'\nfrom archipec.cli import main\nmain()"
    )
    words = ["--state", str(archipec.state), "view", "--no-browser"]
    done = subprocess.run(
        [sys.executable, "-Ic", code, *words],
        env=archipec.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4
    assert "the viewer needs the package" in done.stderr and "pip install 'archipec[view]'" in done.stderr


def test_nothing_is_written_by_looking(archipec: Archipec, viewer: Viewer) -> None:
    """SQLite itself refuses: a mistake in a page can't change what is on record."""
    ledger = archipec.state / "ledger.sqlite3"
    before = ledger.read_bytes()
    assert viewer.ask("/").status == 200
    assert ledger.read_bytes() == before
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600 or os.name == "nt"
