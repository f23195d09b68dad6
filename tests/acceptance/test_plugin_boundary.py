"""What a stranger's plugin does to itself, it does not do to the run: it is named, masked, and left behind in time."""

from __future__ import annotations

import base64
import os
import signal
import sys
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.strangers import Strangers

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
PASSWORD = 'Tr0ub"dor&3 è'


@pytest.fixture
def letters(tmp_path: Path) -> str:
    """The URL of a folder with five messages."""
    folder = tmp_path / "letters"
    folder.mkdir()
    for number, sample in enumerate(mailbox(5, seed=3, size=3000)):
        (folder / f"{number}.eml").write_bytes(sample.raw)
    return f"eml:{folder}"


@pytest.fixture
def strangers(tmp_path: Path) -> Strangers:
    return Strangers(tmp_path, {"SHELF_PASSWORD": PASSWORD})


SINK_MISDEEDS = {
    "put": "class Bad(Shelf):\n    def put(self, item): {}",
    "commit": "class Bad(Shelf):\n    def commit(self): {}",
    "find": "class Bad(Shelf):\n    def find(self, key): {}\n    def commit(self): raise TransientError('x', retry_after=0)",
    "settle": "class Bad(Shelf):\n"
    "    def commit(self): return [Receipt(one.key, State.PENDING, None) for one in self.staged]\n"
    "    def settle(self, pending):\n        {}\n        yield",
    "finish": "class Bad(Shelf):\n    def finish(self): {}",
}
EXITS = ("sys.exit()", "sys.exit(0)", "raise SystemExit(3)", "raise KeyboardInterrupt", "raise GeneratorExit")


@pytest.mark.parametrize(
    ("method", "exit_"),
    [*((one, "sys.exit()") for one in SINK_MISDEEDS), *(("commit", one) for one in EXITS)],
)
def test_a_sink_that_exits_is_named_and_the_others_go_on(
    strangers: Strangers, letters: str, tmp_path: Path, method: str, exit_: str
) -> None:
    strangers.install(SINK_MISDEEDS[method].format(exit_) + "\nglobals().update(yields(sink(Bad)))\n")
    good = tmp_path / "good"
    to = ("--to", f"maildir:{good}", "--to", f"shelf:{tmp_path / 'shelf'}")
    result = strangers("archive", "--from", letters, *to, expect=1)
    assert 'the plugin "shelf" (archipec-acme 2.5) failed in ' + method in result.err
    assert len(list((good / "cur").iterdir() if (good / "cur").is_dir() else good.rglob("cur/*"))) == 5
    kind = exit_.removeprefix("raise ").partition("(")[0]
    assert {"sys.exit": "SystemExit"}.get(kind, kind) in result.err


SOURCE_MISDEEDS = {
    "folders": "class Bad(Pigeon):\n    def folders(self): sys.exit()",
    "scan": "class Bad(Pigeon):\n    def scan(self, folder, after):\n        sys.exit()\n        yield",
    "fetch": "class Bad(Pigeon):\n    def fetch(self, folder, refs):\n        sys.exit()\n        yield",
    "chunks": "def chunks():\n    yield b'x'\n    raise GeneratorExit\n"
    "class Bad(Pigeon):\n    def fetch(self, folder, refs):\n        for ref in refs: yield Fetched(ref, chunks())",
    "open": "class Bad(Pigeon):\n    def __init__(self, *_): raise KeyboardInterrupt",
}


@pytest.mark.parametrize("method", list(SOURCE_MISDEEDS))
def test_a_source_that_exits_is_named(strangers: Strangers, tmp_path: Path, method: str) -> None:
    strangers.install(SOURCE_MISDEEDS[method] + "\nglobals().update(yields(source(Bad)))\n")
    result = strangers("archive", "--from", "pigeon:/x", "--to", f"maildir:{tmp_path / 'A'}", expect=1)
    assert 'the plugin "pigeon" (archipec-acme 2.5) failed in ' in result.err


@pytest.mark.parametrize("method", ["check", "skipped"])
def test_a_source_that_fails_to_say_what_it_left_out_is_named(
    strangers: Strangers, tmp_path: Path, method: str
) -> None:
    """Everything it listed is stored by then; that nobody knows what it didn't list is no success."""
    strangers.install(
        f"class Bad(Pigeon):\n    def {method}(self): raise RuntimeError('boo')\n"
        "globals().update(yields(source(Bad)))\n"
    )
    result = strangers("archive", "--from", "pigeon:/x", "--to", f"maildir:{tmp_path / 'A'}", expect=1)
    assert f'the plugin "pigeon" (archipec-acme 2.5) failed in {method} with RuntimeError: boo' in result.err
    assert "2 of 2 messages stored" in result.out


@pytest.mark.parametrize("where", ["parse", "where", "root"])
def test_a_record_that_exits_is_named(strangers: Strangers, letters: str, tmp_path: Path, where: str) -> None:
    strangers.install(f"def bad(_): sys.exit()\nglobals().update(yields(sink(Shelf, {where}=bad)))\n")
    result = strangers("archive", "--from", letters, "--to", f"shelf:{tmp_path / 's'}", expect=1)
    assert f'the plugin "shelf" (archipec-acme 2.5) failed in {where} with SystemExit' in result.err


def test_a_step_that_exits_is_named(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    strangers.install(
        "class Bad(Step):\n    def run(self, run): sys.exit(0)\nglobals().update(yields(step(Bad)))\n"
    )
    result = strangers(
        "archive", "--from", letters, "--to", f"maildir:{tmp_path / 'A'}", "--then", "bell:", expect=1
    )
    assert 'the plugin "bell" (archipec-acme 2.5) failed in run with SystemExit: 0' in result.err
    assert "5 of 5 messages stored" in result.out


@pytest.mark.parametrize(
    ("where", "exit_"), [*(("import", one) for one in EXITS), ("hook", "sys.exit()"), ("hook", EXITS[-1])]
)
def test_one_that_exits_when_it_is_loaded_is_reported(strangers: Strangers, where: str, exit_: str) -> None:
    hook = f"@hookimpl\ndef archipec_sinks():\n    {exit_}\n    yield\n"
    strangers.install(exit_ if where == "import" else hook)
    listed = strangers("plugins", "list", "--json")
    (broken,) = [one for one in listed.objects if one["status"] == "broken"]
    assert (broken["distribution"], broken["version"]) == ("archipec-acme", "2.5")


def test_a_providers_bug_is_its_own_distributions(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    strangers.install(
        """
        from archipec_plugins.conservation.directory import DirectoryDrop
        from archipec.conservation.sink import conservation_sink

        class Bad(DirectoryDrop):
            name = "acme"
            def deposit(self, package):
                raise RuntimeError("boo")
        globals().update(yields(conservation_sink(Bad)))
        """
    )
    (tmp_path / "drop").mkdir()
    to = f"conservation+acme:{tmp_path / 'drop'}?outbox={tmp_path / 'outbox'}&wait=0"
    result = strangers("archive", "--from", letters, "--to", to, expect=1)
    assert "(archipec-acme 2.5) failed in settle with RuntimeError: boo" in result.err


PROVIDER_MISDEEDS = {
    "deposit": "def deposit(self, package):",
    "poll": "def poll(self, package, ticket):",
}


@pytest.mark.parametrize("method", list(PROVIDER_MISDEEDS))
@pytest.mark.parametrize("misdeed", ["sys.exit()", "raise RuntimeError('boo')", "return 'done'"])
def test_a_provider_that_crashes_costs_its_outbox_nothing(
    strangers: Strangers, letters: str, tmp_path: Path, method: str, misdeed: str
) -> None:
    """Named by its own distribution; what it was given stays in the outbox, other sinks go on, and so does the next run."""
    strangers.install(
        f"""
        from archipec_plugins.conservation.directory import DirectoryDrop
        from archipec.conservation.sink import conservation_sink

        class Acme(DirectoryDrop):
            name = "acme"
        class Bad(Acme):
            {PROVIDER_MISDEEDS[method]}
                {misdeed}
        globals().update(yields(conservation_sink(Bad)))
        """
    )
    drop, outbox = tmp_path / "drop", tmp_path / "outbox"
    drop.mkdir()
    to = f"conservation+acme:{drop}?outbox={outbox}&wait=0"
    arguments = ("--from", letters, "--to", f"maildir:{tmp_path / 'good'}", "--to", to, "--no-seals")
    result = strangers("archive", "--json", *arguments, expect=1)
    (error,) = result.object["error"]
    assert 'the plugin "conservation-acme" (archipec-acme 2.5)' in error
    assert result.object["sinks"]["maildir"]["stored"] == 5
    counts = result.object["sinks"]["conservation-acme"]
    assert (counts["pending"], counts["failed"]) == (5, 0)
    assert len(list((outbox / "messages").rglob("*.eml"))) == 5
    assert "(archipec-acme 2.5)" in strangers("settle", "--to", to, expect=1).err
    assert strangers("verify", *arguments, "--json").object["ok"] == 10
    module = strangers.site / "archipec_acme_module.py"
    module.write_text(module.read_text().replace("conservation_sink(Bad)", "conservation_sink(Acme)"))
    again = strangers("archive", "--json", *arguments).object
    assert again["sinks"]["conservation-acme"]["failed"] == 0
    assert len({one.name[: len("PdV_") + 36] for one in drop.glob("PdV_*")}) == 1, "deposited twice"


def test_missing_receipts_name_the_distribution(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    strangers.install(
        "class Bad(Shelf):\n    def commit(self): return super().commit()[1:]\nglobals().update(yields(sink(Bad)))\n"
    )
    result = strangers("archive", "--from", letters, "--to", f"shelf:{tmp_path / 's'}", expect=1)
    assert 'the plugin "shelf" (archipec-acme 2.5) gave no receipt for 1 of the messages' in result.err


def test_a_sink_that_can_t_take_one_message_now_takes_the_others(
    strangers: Strangers, letters: str, tmp_path: Path
) -> None:
    """HTTP status 503 for one upload: a TransientError of scope MESSAGE is that message's alone."""
    strangers.install(
        """
        class Bad(Shelf):
            busy = None
            def put(self, item):
                Bad.busy = Bad.busy or item.key
                if item.key == Bad.busy:
                    raise TransientError("HTTP status 503", scope=Scope.MESSAGE, retry_after=0)
                super().put(item)
        globals().update(yields(sink(Bad)))
        """
    )
    shelf = tmp_path / "shelf"
    to = ("--to", f"maildir:{tmp_path / 'good'}", "--to", f"shelf:{shelf}")
    report = strangers("archive", "--json", "--from", letters, *to, expect=3).object
    assert report["sinks"]["maildir"]["stored"] == 5
    assert report["sinks"]["shelf"] == {"stored": 4, "pending": 0, "failed": 1}
    (failure,) = report["failures"]
    assert failure["reason"] == "shelf: HTTP status 503"
    path = strangers.site / "archipec_acme_module.py"
    path.write_text(path.read_text().replace("sink(Bad)", "sink(Shelf)"))
    strangers("archive", "--json", "--from", letters, *to)
    assert len([one for one in shelf.iterdir() if len(one.name) == 64]) == 5


@pytest.mark.parametrize("error", ["TransientError", "IntegrityError", "PermanentError"])
def test_a_sink_that_can_t_say_of_one_message_whether_it_has_it_takes_the_others(
    strangers: Strangers, letters: str, tmp_path: Path, error: str
) -> None:
    """And is asked for that one again before it is given it: nothing is stored twice."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    strangers.install(
        f"""
        class Bad(Shelf):
            def commit(self):
                super().commit()
                raise PermanentError("gone")
        class Worse(Shelf):
            def find(self, key):
                if key.sha256 == min(one for one in os.listdir(self.config["path"]) if len(one) == 64):
                    raise {error}("HTTP status 503", scope=Scope.MESSAGE)
                return super().find(key)
        class Careful(Shelf):
            def put(self, item):
                assert not self.path(item.key).exists(), "put again"
                super().put(item)
        globals().update(yields(sink(Bad)))
        """
    )
    to = ("--to", f"maildir:{tmp_path / 'good'}", "--to", f"shelf:{shelf}")
    strangers("archive", "--json", "--from", letters, *to, expect=4)
    module = strangers.site / "archipec_acme_module.py"
    module.write_text(module.read_text().replace("sink(Bad)", "sink(Worse)"))
    report = strangers("archive", "--json", "--from", letters, *to, expect=3).object
    assert report["sinks"]["shelf"] == {"stored": 4, "pending": 0, "failed": 1}
    (failure,) = report["failures"]
    assert failure["reason"] == "shelf: HTTP status 503"
    module.write_text(module.read_text().replace("sink(Worse)", "sink(Careful)"))
    report = strangers("archive", "--json", "--from", letters, *to).object
    assert report["stored"] == 1


DISK_USERS = {
    "put": "class Full(Shelf):\n    def put(self, item): fill()",
    "commit": "class Full(Shelf):\n    def commit(self): fill()",
    "open": "class Full(Shelf):\n    def __init__(self, *_): fill()",
    "find": "class Full(Shelf):\n"
    "    def find(self, key): fill()\n"
    "    def commit(self): raise TransientError('x', retry_after=0)",
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("method", list(DISK_USERS))
def test_a_full_disk_under_a_plugin_is_no_bug_of_it(
    strangers: Strangers, letters: str, tmp_path: Path, method: str
) -> None:
    fill = "def fill():\n    with open('/dev/full', 'wb', buffering=0) as file: file.write(b'x')\n"
    strangers.install(f"{fill}{DISK_USERS[method]}\nglobals().update(yields(sink(Full)))\n")
    to = ("--to", f"maildir:{tmp_path / 'good'}", "--to", f"shelf:{tmp_path / 'shelf'}")
    result = strangers("archive", "--json", "--from", letters, *to, expect=5)
    (error,) = result.object["error"]
    assert error.startswith("no room left on the disk of ")
    assert 'the plugin "shelf" (archipec-acme 2.5) writes' in error
    assert result.object["sinks"]["maildir"]["stored"] == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_a_source_is_no_bug_of_it(strangers: Strangers, tmp_path: Path) -> None:
    strangers.install(
        """
        def chunks():
            yield b"From:"
            with open("/dev/full", "wb", buffering=0) as file:
                file.write(b"x")
        class Full(Pigeon):
            def fetch(self, folder, refs):
                for ref in refs:
                    yield Fetched(ref, chunks())
        globals().update(yields(source(Full)))
        """
    )
    result = strangers("archive", "--from", "pigeon:/x", "--to", f"maildir:{tmp_path / 'A'}", expect=5)
    assert 'no room left on the disk of the files that the plugin "pigeon" (archipec-acme 2.5)' in result.err


# -- secrets ------------------------------------------------------------------------------------------

_SASL = base64.b64encode(f"me\0me\0{PASSWORD}".encode()).decode()


LEAKS = (
    "raise TransientError(f'refused: {p}', hint=f'with {p}', retry_after=float('inf'))",
    "raise PermanentError(f'{p!r} and {quote(p)} and {quote_plus(p)} and {json.dumps(p)}')",
    "raise RuntimeError(p)",
    "raise ConnectionError(base64.b64encode(f'me\\0me\\0{p}'.encode()).decode()) from ValueError(p)",
    "error = PermanentError('x'); error.message = p; error.hint = p; raise error",
    "return [Receipt(one.key, State.REJECTED, None, f'not with {p}') for one in self.staged]",
    "self.context.log.warning('trying %s', p); logging.getLogger().error(f'{p}'); print(p); raise KeyError(p)",
    "print(p, file=sys.stderr); print({'password': p}); sys.exit(p)",
    "raise PermanentError(f'no {p}', scope=Scope.MESSAGE)",
)  # fmt: skip


# What -v adds is a traceback of what is no error of archipec, and what is logged for programmers.
@pytest.mark.parametrize(
    ("flags", "misbehaviour"),
    [*(((), one) for one in LEAKS), *((("-v",), one) for one in LEAKS if FULL or "Permanent" not in one)],
)
def test_a_password_is_shown_and_stored_nowhere(
    strangers: Strangers, letters: str, tmp_path: Path, flags: tuple[str, ...], misbehaviour: str
) -> None:
    strangers.install(
        f"import base64, json\nfrom urllib.parse import quote, quote_plus\n"
        f"class Bad(Shelf):\n"
        f"    def commit(self):\n        p = self.config['password'].reveal()\n        {misbehaviour}\n"
        f"globals().update(yields(sink(Bad)))\n"
    )
    to = f"shelf:{tmp_path / 's'}?password=env:SHELF_PASSWORD"
    result = strangers(*flags, "archive", "--json", "--from", letters, "--to", to, expect=None)
    assert result.code
    status = strangers("status", "ad-hoc", expect=None)
    said = result.out + result.err + status.out + status.err
    assert "***" in said
    for form in (PASSWORD, PASSWORD.split()[0], "Tr0ub", _SASL[8:20], "Tr0ub%22"):
        assert form not in said
        assert form.encode() not in strangers.stored_texts()
    assert len(result.objects) == 1


def test_a_short_secret_spoils_no_output(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    strangers.env["SHELF_PASSWORD"] = "x"
    strangers.install("class Bad(Shelf):\n    def __init__(self, config, context):\n"
                      "        super().__init__(config, context)\n        config['password'].reveal()\n"
                      "globals().update(yields(sink(Bad)))\n")  # fmt: skip
    to = f"shelf:{tmp_path / 's'}?password=env:SHELF_PASSWORD"
    assert "***" not in strangers("archive", "--json", "--from", letters, "--to", to).out


# -- standard output ----------------------------------------------------------------------------------


def test_what_plugins_print_is_no_data(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    strangers.install(
        """
        import subprocess
        print("at import")
        class Chatty(Shelf):
            def commit(self):
                print("in commit")
                os.write(1, b"by number\\n")
                subprocess.run([sys.executable, "-c", "print('by a program')"])
                sys.__stdout__.write("by the original\\n"); sys.__stdout__.flush()
                return super().commit()
        print("before the hook")
        globals().update(yields(sink(Chatty, where=lambda config: print("in where") or "shelf:x")))
        """
    )
    result = strangers("archive", "--json", "--from", letters, "--to", f"shelf:{tmp_path / 's'}")
    assert result.object["stored"] == 5
    for words in ("at import", "in commit", "by number", "by a program", "by the original", "in where"):
        assert words in result.err
    assert strangers("plugins", "list", "--json").objects


# -- silence ------------------------------------------------------------------------------------------

FOREVER = {
    "sleep": "time.sleep(10000)",
    "lock": "threading.Event().wait()",
    "loop": "\n        while True: pass",
    "deaf loop": "\n        while True:\n            try: time.sleep(1000)\n            except BaseException: pass",
}


@pytest.mark.parametrize("how", list(FOREVER))
def test_a_sink_that_gives_no_sign_of_life_is_left_behind(
    strangers: Strangers, letters: str, tmp_path: Path, how: str
) -> None:
    strangers.env["ARCHIPEC_PLUGIN_PATIENCE"] = "1.5"
    strangers.install(
        f"class Bad(Shelf):\n    def commit(self):\n        {FOREVER[how]}\nglobals().update(yields(sink(Bad)))\n"
    )
    good = tmp_path / "good"
    to = ("--to", f"maildir:{good}", "--to", f"shelf:{tmp_path / 's'}")
    result = strangers("archive", "--json", "--from", letters, *to, expect=5)
    assert 'the plugin \\"shelf\\" (archipec-acme 2.5) has given no sign of life for' in result.err
    assert result.object["sinks"]["maildir"]["stored"] == 5
    assert result.object["sinks"]["shelf"]["failed"] == 5
    # The next run completes what is missing: nothing is held, nothing lost.
    (strangers.site / "archipec_acme_module.py").write_text(
        (strangers.site / "archipec_acme_module.py").read_text().replace("sink(Bad)", "sink(Shelf)")
    )
    assert strangers("archive", "--json", "--from", letters, *to).object["sinks"]["shelf"]["stored"] == 5


@pytest.mark.parametrize("method", ["folders", "scan", "fetch"])
def test_a_source_that_gives_no_sign_of_life_is_left_behind(
    strangers: Strangers, tmp_path: Path, method: str
) -> None:
    strangers.env["ARCHIPEC_PLUGIN_PATIENCE"] = "1.5"
    strangers.install(
        f"class Bad(Pigeon):\n    def {method}(self, *_):\n        time.sleep(10000)\n        yield\n"
        "globals().update(yields(source(Bad)))\n"
    )
    result = strangers(
        "archive", "--json", "--from", "pigeon:/x", "--to", f"maildir:{tmp_path / 'A'}", expect=5
    )
    assert "has given no sign of life" in result.err
    assert result.object["pipeline"]


@pytest.mark.parametrize(
    ("where", "how"),
    [("import", "sleep"), ("step", "lock"), ("step", "loop"), ("open", "sleep"), ("step", "deaf loop")],
)
def test_one_that_is_silent_in_the_main_thread_is_got_out_of(
    strangers: Strangers, letters: str, tmp_path: Path, where: str, how: str
) -> None:
    strangers.env["ARCHIPEC_PLUGIN_PATIENCE"] = "1.5"
    body = FOREVER[how]
    strangers.install(
        {
            "import": f"if 1:\n        {body}\n",
            "step": f"class Bad(Step):\n    def run(self, run):\n        {body}\nglobals().update(yields(step(Bad)))\n",
            "open": f"class Bad(Shelf):\n    def __init__(self, *_):\n        {body}\n"
            "globals().update(yields(sink(Bad)))\n",
        }[where]
    )
    to = ["--to", f"maildir:{tmp_path / 'A'}"]
    to += {"step": ["--then", "bell:"], "open": ["--to", f"shelf:{tmp_path / 's'}"], "import": []}[where]
    result = strangers("archive", "--from", letters, *to, expect=None)
    assert "has given no sign of life" in result.err
    assert "archipec-acme 2.5" in result.err
    # Where a plugin lets go, the rest of the run is done; where it doesn't, the process ends.
    if how != "deaf loop":
        assert "5 of 5 messages stored" in result.out or where == "open"
        assert result.code == (0 if where == "import" else 5)
    else:
        assert result.code == 5


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT can't be sent to one process")
def test_the_first_ctrl_c_works_within_a_bound(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    strangers.env["ARCHIPEC_PLUGIN_PATIENCE"] = "3"
    strangers.install(
        "class Bad(Shelf):\n    def commit(self):\n        print('in commit', flush=True)\n        time.sleep(10000)\n"
        "globals().update(yields(sink(Bad)))\n"
    )
    process = strangers.start("archive", "--from", letters, "--to", f"shelf:{tmp_path / 's'}")
    assert process.stderr is not None
    for line in process.stderr:
        if "in commit" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_slow_honest_work_is_no_silence(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    strangers.env["ARCHIPEC_PLUGIN_PATIENCE"] = "1"
    strangers.install(
        """
        class Slow(Shelf):
            def commit(self):
                # For two and a half times as long as silence may last, it only asks.
                end = time.monotonic() + 2.5
                while time.monotonic() < end:
                    self.context.cancelled()
                    time.sleep(0.05)
                return super().commit()
        globals().update(yields(sink(Slow)))
        """
    )
    strangers("archive", "--from", letters, "--to", f"shelf:{tmp_path / 's'}")


def test_a_slow_import_is_named(strangers: Strangers) -> None:
    strangers.env["ARCHIPEC_PLUGIN_PATIENCE"] = "2"
    strangers.install("time.sleep(10000)\n")
    result = strangers("plugins", "list")
    assert "import of archipec_acme_module" in result.err
    assert "acme of archipec-acme 2.5" in result.err


# -- output that can't be written -----------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "redirect", [">/dev/full", ">&-", ">/dev/full 2>/dev/full", ">&- 2>&-", "2>&-", "2>/dev/full"]
)
def test_what_cant_be_printed_costs_no_work(
    strangers: Strangers, letters: str, tmp_path: Path, redirect: str
) -> None:
    import shlex
    import subprocess

    line = shlex.join(strangers.argv("archive", "--from", letters, "--to", f"maildir:{tmp_path / 'A'}"))
    done = subprocess.run(
        ["sh", "-c", f"{line} {redirect}"],
        env=strangers.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (0 if redirect.startswith("2") else 5)
    assert "bug" not in done.stdout + done.stderr
    assert strangers("status", "--json").object["messages"] == 5
    if redirect == ">/dev/full":
        assert "standard output: no room left on its disk" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
def test_a_reader_that_leaves_has_had_enough(strangers: Strangers, letters: str, tmp_path: Path) -> None:
    import shlex
    import subprocess

    line = shlex.join(strangers.argv("archive", "--from", letters, "--to", f"maildir:{tmp_path / 'A'}"))
    script = f"{{ {line}; echo $? >&2; }} | true"
    done = subprocess.run(
        ["sh", "-c", script], env=strangers.env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.splitlines()[-1:] == ["0"]
    assert strangers("status", "--json").object["messages"] == 5
