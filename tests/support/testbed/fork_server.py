"""Runs archipec's command line again and again without starting Python each time: `testbed.forked` speaks with it.

It imports what commands use once. Each request, on the socket that is descriptor 0, brings arguments, environment,
folder and what is to be imported besides (PYTHONPATH) as JSON, and two descriptors for what is printed; a child of this process becomes that command, as ``python -Im
archipec`` would, in a process of its own with all that belongs to one. The answers are its process id when it starts
and its wait status when it has ended. The server ends when the socket does.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import socket
import sys
import threading
import time
from importlib import import_module
from typing import Any, Final, NoReturn

_ROOTS: Final = ("archipec", "archipec_plugins")
_RARE: Final = (
    "archipec.testing",
    "archipec.conservation",
    "archipec_plugins.conservation",
    "archipec.__main__",
)
"""Not imported beforehand: few commands use them, or they are there for plugin authors."""
_LARGEST_REQUEST: Final = 1 << 20


def _import_all() -> None:
    for root in _ROOTS:
        package = import_module(root)
        names = [one.name for one in pkgutil.walk_packages(package.__path__, f"{root}.")]
        for name in names:
            if not name.startswith(_RARE):
                import_module(name)


def _become(said: dict[str, Any], descriptors: list[int]) -> None:
    """Take over what belongs to a process: folder, environment, arguments, standard streams."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, *descriptors)):
        os.dup2(descriptor, number)
    os.closerange(3, max(nothing, *descriptors) + 1)
    os.environ.clear()
    os.environ.update(said["env"])
    time.tzset()
    os.chdir(said["cwd"])
    sys.argv = ["archipec", *said["arguments"]]
    sys.path[:0] = said["path"]


def _serve() -> bool:
    """Return True in each child, which is to be the command, and False when all is done."""
    channel = socket.socket(fileno=os.dup(0))
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, _LARGEST_REQUEST, 2)
        if not request:
            return False
        said = json.loads(request)
        child = os.fork()
        if not child:
            channel.close()
            _become(said, descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(child).encode())
        _, status = os.waitpid(child, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _end(code: int) -> NoReturn:
    """End as Python does, but for taking everything imported apart."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _import_all()
    assert threading.active_count() == 1, "a module starts a thread when it is imported"
    gc.freeze()
    if _serve():
        try:
            runpy.run_module("archipec", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if isinstance(end.code, int):
                _end(end.code)
            raise
