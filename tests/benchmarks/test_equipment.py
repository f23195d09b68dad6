"""The benchmarks' own instruments: what they say of a program and of the network is so."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from benchmarks import corpus, exports, native, run
from benchmarks.measure import RunFailed, measured
from testbed import requirements

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read /proc"),
]

BUSY = "import time\nwhile time.process_time() < 0.2: pass\n"


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIPEC_INSTALL", "no")


@pytest.fixture
def proxy(tmp_path: Path) -> Path:
    requirements.require("cc")
    program = native.compiled("delay_proxy", tmp_path)
    assert program is not None
    return program


@pytest.fixture
def sending() -> Iterator[tuple[int, bytes]]:
    """A server that sends some bytes to each client and closes; its port and the bytes."""
    content = os.urandom(300_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], content
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def received(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_line_takes_so_many_bytes_a_second_from_all_its_connections(
    proxy: Path, sending: tuple[int, bytes]
) -> None:
    port, content = sending
    with native.far_away(proxy, port, 20, 1_000_000) as near:
        start = time.monotonic()
        clients = [socket.create_connection(("127.0.0.1", near)) for _ in range(2)]
        assert [received(one) for one in clients] == [content, content]
        # Both together have 600,000 bytes; they come half a round trip late.
        assert time.monotonic() - start >= 0.61
        # What was not sent for a while is not made up for.
        assert received(socket.create_connection(("127.0.0.1", near))) == content
        assert time.monotonic() - start >= 0.61 + 0.31


def test_without_a_rate_bytes_are_late_and_no_more(proxy: Path, sending: tuple[int, bytes]) -> None:
    port, content = sending
    with native.far_away(proxy, port, 20) as near:
        start = time.monotonic()
        assert received(socket.create_connection(("127.0.0.1", near))) == content
        assert time.monotonic() - start >= 0.01


@pytest.mark.parametrize("how", ["itself", "a child", "an orphan"])
def test_processor_time_is_that_of_every_process(how: str, tmp_path: Path) -> None:
    programs = {
        "itself": BUSY,
        "a child": f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])",
        "an orphan": f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BUSY!r}])",
    }
    run = measured([sys.executable, "-W", "ignore", "-c", programs[how]], os.environ, tmp_path)
    assert run.cpu_seconds >= 0.2
    assert run.seconds >= 0.2
    assert run.peak_mb > 1


def test_a_program_that_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="ended with 3: no mail"):
        measured(
            [sys.executable, "-c", "import sys; print('no mail', file=sys.stderr); sys.exit(3)"],
            os.environ,
            tmp_path,
        )


def test_exports_hold_what_the_server_holds(tmp_path: Path) -> None:
    """Small imports of them run: archipec has the very bytes then."""
    requirements.require("dovecot", "dovecot-pop3")
    figures = tmp_path / "figures.json"
    asked = [word for form in exports.FORMS for word in ("--scenario", form)]
    options = ["--quick", *asked, "--tool", "archipec"]
    places = ["--cache", str(tmp_path), "--disk", str(tmp_path), "--json", str(figures)]
    assert run.main([*options, *places]) == 0
    found = json.loads(figures.read_text())["scenarios"]
    assert {one["scenario"]["name"] for one in found} == set(exports.FORMS)
    for one in found:
        assert one["messages"] == 200
        assert set(one["first"]) == {"archipec"}


def test_a_small_benchmark_compares_all_tools(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    requirements.require("dovecot", "dovecot-pop3", "mbsync", "cc", "openssl")
    figures = tmp_path / "figures.json"
    options = ["--quick", "--scenario", "small", "--before", sys.executable, "--tool"]
    wanted = ["floor", "prototype", "mbsync+openssl", "seals", "archipec-before"]
    options += " --tool ".join(wanted).split()
    places = ["--cache", str(tmp_path), "--disk", str(tmp_path), "--json", str(figures)]
    assert run.main([*options, *places]) == 0
    (scenario,) = json.loads(figures.read_text())["scenarios"]
    assert set(scenario["first"]) == set(wanted)
    assert not scenario["problems"]
    out, said = capfd.readouterr()
    assert all(name in out for name in wanted)
    assert "run 1 of 1: " in said and "not judged" in said


def test_the_corpus_is_made_once(tmp_path: Path) -> None:
    one = corpus.corpus(3, 4_000, tmp_path)
    assert [raw for raw, _ in one.messages()] == [
        sample.raw for sample in mailbox(3, seed=corpus.SEED, size=4_000)
    ]
    made = one.path.stat()
    again = corpus.corpus(3, 4_000, tmp_path)
    assert again == one
    assert again.path.stat().st_mtime_ns == made.st_mtime_ns
    assert one.size_of_messages() == sum(len(raw) for raw, _ in one.messages())
