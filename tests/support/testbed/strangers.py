"""Small distributions of strangers, as pip leaves them, and archipec as a command that finds them."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from testbed.command import Archipec

__all__ = ["Strangers"]

_COMMON = '''
import logging, os, sys, threading, time
from contextlib import contextmanager
from archipec.contract import *
from archipec.contract import PostStepType, Receipt
from archipec.errors import *
from archipec.hookspecs import hookimpl


class Shelf:
    """A sink that keeps messages in a folder, by their keys."""

    def __init__(self, config, context):
        self.config, self.context, self.staged = config, context, []

    def path(self, key):
        return self.config["path"] / key.sha256

    def put(self, item):
        self.staged.append(item)

    def commit(self):
        receipts = []
        for item in self.staged:
            with item.open() as stream:
                self.path(item.key).write_bytes(stream.read())
            receipts.append(Receipt(item.key, State.STORED, None))
        self.staged = []
        return receipts

    def find(self, key):
        return Receipt(key, State.STORED, None) if self.path(key).exists() else None

    def read(self, receipt):
        return self.path(receipt.key).open("rb")


class Pigeon:
    """A source of two messages."""

    TEXTS = {"1": b"From: a@b.it\\r\\n\\r\\none\\r\\n", "2": b"From: a@b.it\\r\\n\\r\\ntwo\\r\\n"}

    def __init__(self, config, context):
        self.config, self.context = config, context

    def folders(self):
        return [Folder("INBOX")]

    def scan(self, folder, after):
        for ref, text in self.TEXTS.items():
            yield Listed(folder, ref, len(text), None, (), None)

    def fetch(self, folder, refs):
        for ref in refs:
            yield Fetched(ref, iter([self.TEXTS[ref]]))


class Step:
    def __init__(self, config, context):
        self.config, self.context = config, context

    def run(self, run):
        pass


PATH = Option(name="path", help="a folder", required=True, part="path", convert=file_path)
PASSWORD = Option(name="password", help="a password", secret=True)


def opener(make):
    @contextmanager
    def open_it(config, context):
        yield make(config, context)

    return open_it


def sink(make, **given):
    given = dict(root=lambda config: config["path"], where=lambda config: f"shelf:{config['path']}") | given
    return SinkType(
        **dict(api=1, name="shelf", summary="a shelf", schemes=("shelf",), options=(PATH, PASSWORD), parse=dict,
               open=opener(make)) | given)


def source(make, **given):
    return SourceType(
        **dict(api=1, name="pigeon", summary="pigeons", schemes=("pigeon",), options=(PATH, PASSWORD), parse=dict,
               where=lambda config: f"pigeon:{config['path']}", open=opener(make)) | given)


def step(make, **given):
    return PostStepType(
        **dict(api=1, name="bell", summary="a bell", schemes=("bell",), options=(PASSWORD,), parse=dict,
               where=lambda config: "bell:", open=opener(make)) | given)


def yields(*records):
    """Return the hooks that yield these records."""
    def hook(kind, name):
        def function():
            yield from (one for one in records if isinstance(one, kind))
        function.__name__ = name
        return hookimpl(function)
    return {name: hook(kind, name) for name, kind in
            (("archipec_sources", SourceType), ("archipec_sinks", SinkType), ("archipec_poststeps", PostStepType))}

'''


class Strangers(Archipec):
    """archipec, in an environment where distributions of strangers are installed as well."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.site = folder / "site"
        self.site.mkdir()
        self._path = (self.site,)
        super().__init__(folder / "state", {"PYTHONPATH": str(self.site), **(env or {})})

    def argv(self, *arguments: object) -> list[str]:
        """Return the command line; not isolated from PYTHONPATH."""
        return [sys.executable, "-Psm", "archipec", *self._words(arguments)]

    def install(
        self, source: str, *, name: str = "archipec-acme", version: str = "2.5", point: str = "acme"
    ) -> None:
        """Install a distribution whose module ends with this source."""
        module = name.replace("-", "_") + "_module"
        (self.site / f"{module}.py").write_text(_COMMON + textwrap.dedent(source), "utf-8")
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[archipec]\n{point} = {module}\n")

    def stored_texts(self) -> bytes:
        """Return all that the state folder holds, in one."""
        files = (Path(base, name) for base, _, names in os.walk(self.state) for name in names)
        return b"\n".join(file.read_bytes() for file in sorted(files))
