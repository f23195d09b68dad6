"""Speaks Marionette, the remote control of Mozilla programs: JSON over TCP, one answer for each command.

https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

from __future__ import annotations

import json
import socket
from typing import Any, Self


class ScriptFailed(Exception):
    """The program refused a command, or a script raised; the text is the program's own."""


class Marionette:
    """A connection to one running program, with a session in chrome context."""

    def __init__(self, port: int, *, timeout: float) -> None:
        """`timeout`: seconds that any one answer may take."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._received = b""
        self._number = 0
        try:
            hello = self._read()
            if hello["marionetteProtocol"] != 3:
                raise ScriptFailed(f"Marionette speaks another protocol: {hello}")
            wanted = {"alwaysMatch": {"unhandledPromptBehavior": "ignore"}}
            self.send("WebDriver:NewSession", {"capabilities": wanted})
            self.send("Marionette:SetContext", {"value": "chrome"})
            self.send("WebDriver:SetTimeouts", {"script": int(timeout * 1000)})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; the program goes on."""
        self._socket.close()

    def send(self, command: str, parameters: dict[str, Any]) -> Any:
        """Give a command and return its result."""
        self._number += 1
        data = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(data), data))
        _, number, error, result = self._read()
        if number != self._number:
            raise ScriptFailed(f"answer {number} to command {self._number}")
        if error:
            raise ScriptFailed(f"{error['error']}: {error['message']}\n{error.get('stacktrace', '')}")
        return result

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of an async function in the program's own context and return what it returns."""
        body = f"return (async (...args) => {{ {script} }})(...arguments)"
        return self.send("WebDriver:ExecuteScript", {"script": body, "args": list(arguments)})["value"]

    def _read(self) -> Any:
        while b":" not in self._received:
            self._receive()
        size, _, rest = self._received.partition(b":")
        while len(rest) < int(size):
            self._receive()
            _, _, rest = self._received.partition(b":")
        self._received = rest[int(size) :]
        return json.loads(rest[: int(size)])

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise ScriptFailed("the program hung up")
        self._received += data
