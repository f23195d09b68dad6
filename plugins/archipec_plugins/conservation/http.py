"""HTTP to a provider's server: over TLS, answers bounded, failures in archipec's words."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from archipec.errors import ArchipecError, AuthError, PermanentError, TransientError, Unsupported
from archipec.language import _
from archipec_plugins.conservation.server import address, lost, tls_context

if TYPE_CHECKING:
    import httpx

_PATIENCE: Final = 20  # times the timeout: an answer that drips in is given up


class Answer(NamedTuple):
    """What a server answered, read whole.

    Attributes:
        cut: it was longer than the limit; ``body`` has the limit's number of bytes and one more.
    """

    status: int
    type: str
    location: str
    retry_after: str
    body: bytes
    cut: bool


class HTTP:
    """A session with one server.

    Args:
        origin: ``https://host:port``.
        where: the server, for messages.
    """

    def __init__(self, client: httpx.Client, origin: str, where: str, timeout: int) -> None:
        self._client = client
        self.origin = origin
        self.where = where
        self._timeout = timeout

    def ask(
        self, method: str, path: str, *, limit: int = 1 << 20, into: IO[bytes] | None = None, **request: Any
    ) -> Answer:
        """Send a request and read the answer, whatever its status.

        Args:
            path: begins with ``/``, percent-encoded.
            limit: bytes of the answer that are read, and one more.
            into: takes the body of a good answer, of any length, in place of `Answer.body`.
            request: what `httpx.Client.stream` takes: ``content``, ``headers``, ``files``.

        Raises:
            PermanentError: the server's certificate is not trusted.
            TransientError: no connection, or it broke.
        """
        import httpx

        deadline = time.monotonic() + _PATIENCE * self._timeout
        body = bytearray()
        try:
            with self._client.stream(method, self.origin + path, **request) as response:
                for chunk in response.iter_raw():
                    if into is not None and response.status_code == 200:
                        into.write(chunk)
                        continue
                    body += chunk
                    if len(body) > limit:
                        break
                    if time.monotonic() > deadline:
                        raise TransientError(
                            _("{where} has not come to an end of its answer in time").format(where=self.where)
                        )
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._lost(error) from error
        fields = response.headers
        return Answer(
            response.status_code,
            fields.get("content-type", "").partition(";")[0].strip().lower(),
            fields.get("location", ""),
            fields.get("retry-after", ""),
            bytes(body[: limit + 1]),
            len(body) > limit,
        )

    def refusal(self, answer: Answer, what: str) -> ArchipecError:
        """Return the error for an answer that is no success.

        Args:
            what: the request's object, for the message.
        """
        status, said = (
            answer.status,
            _("{where} answered {status}").format(where=self.where, status=answer.status),
        )
        if status == 401:
            return AuthError(
                _("{where} refused the login").format(where=self.where),
                hint=_("check the user and the password; the login is not tried again by itself"),
            )
        if status == 507:
            return TransientError(
                _("no room left on {where} for {what}").format(where=self.where, what=what),
                hint=_("its disk or quota is full"),
                retry_after=math.inf,
            )
        if status in {408, 423, 425, 429} or (status >= 500 and status != 501):
            wait = answer.retry_after
            return TransientError(
                _("{said} about {what}").format(said=said, what=what),
                retry_after=float(wait) if wait.isdecimal() and len(wait) < 6 else None,
            )
        if status in {405, 501}:
            return Unsupported(_("{said}: it can't do this with {what}").format(said=said, what=what))
        if 300 <= status < 400:
            return PermanentError(
                _("{said}: {what} is somewhere else").format(said=said, what=what),
                hint=_("check host and path"),
            )
        if status == 403:
            return PermanentError(
                _("{said}: not permitted in {what}").format(said=said, what=what),
                hint=_("check the path and the login's rights"),
            )
        return PermanentError(_("{said} about {what}").format(said=said, what=what), hint=_("check the path"))

    def _lost(self, error: Exception) -> ArchipecError:
        import httpx

        if isinstance(error, httpx.TimeoutException):
            return lost(TimeoutError(), self.where)
        return lost(_cause(error), self.where)


def _cause(error: BaseException) -> Exception:
    """Return the operating system's or OpenSSL's error under one of httpx, else that."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return found if isinstance(found, OSError) else Exception(str(error))


@contextmanager
def connected(config: Mapping[str, Any], auth: tuple[str, str] | None = None) -> Iterator[HTTP]:
    """Open a session; it connects with the first request."""
    import httpx

    where = address(config)
    with httpx.Client(
        verify=tls_context(config), auth=auth, timeout=config["timeout"], follow_redirects=False
    ) as client:
        # Answers are read as they come: nothing is unpacked that could be a bomb.
        client.headers["Accept-Encoding"] = "identity"
        yield HTTP(client, f"https://{where}", where, config["timeout"])
