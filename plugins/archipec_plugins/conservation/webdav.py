"""A provider's drop folder over WebDAV (RFC 4918), or on an HTTP server that only takes PUT.

Without WebDAV (``dav = false``) a folder is listed by the links of its index page, and what has to be renamed is sent
once more under its new name: whole files only, so the packages are zips.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, Self

from archipec.conservation.dropfolder import DROP_OPTIONS, DropProvider
from archipec.conservation.sink import conservation_sink
from archipec.contract import Context, Option, SinkType, boolean
from archipec.errors import PermanentError, Scope, TransientError
from archipec.hookspecs import hookimpl
from archipec.language import N_, _
from archipec.xml import safe_parser
from archipec_plugins.conservation.server import (
    CA_FILE,
    bounded,
    check_server,
    of_this_file,
    parse_with,
    password_of,
    server_options,
    server_url,
)

if TYPE_CHECKING:
    from archipec_plugins.conservation.http import HTTP, Answer

_PORT: Final = 443
_LISTING: Final = 64 << 20
_IN_MEMORY: Final = 4 << 20
_PROPFIND: Final = b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>'


class WebDAVFolder:
    """A folder on a WebDAV server; see `archipec.conservation.dropfolder.RemoteFolder`.

    Args:
        base: the folder's path, not encoded.
        context: where temporary files go.
    """

    def __init__(self, http: HTTP, base: str, context: Context) -> None:
        from urllib.parse import quote

        self._http = http
        self._base = quote(f"/{base}".rstrip("/"))
        self._context = context

    def check(self) -> None:
        """See that the login is good and the folder there.

        Raises:
            AuthError, PermanentError: they are not.
        """
        at = f"{self._base}/"
        answer = self._listing(at)
        if answer.status not in {200, 207}:
            raise self._http.refusal(answer, at)

    def names(self, folder: str) -> Iterable[str]:
        """Return the names in a folder."""
        at = self._at(folder) + "/"
        answer = self._listing(at)
        if answer.status == 404:
            return []
        if answer.status not in {200, 207}:
            raise self._http.refusal(answer, at)
        if answer.cut:
            raise PermanentError(_("{where} lists too much in {at}").format(where=self._http.where, at=at))
        return list(bounded(_inside(self._links(answer.body), at), self._http.where))

    def make(self, folder: str) -> None:
        """Make a folder and those above it."""
        for depth in range(folder.count("/") + 1):
            part = self._at("/".join(folder.split("/")[: depth + 1])) + "/"
            answer = self._http.ask("MKCOL", part)
            # 405: it is there (RFC 4918 §9.3.1).
            if answer.status not in {200, 201, 405}:
                raise self._http.refusal(answer, part)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file."""
        import tempfile

        # Not every server takes a body whose length is not announced.
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._context.temp)) as file:
            for chunk in chunks:
                file.write(chunk)
            self._put(path, file)

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder."""
        source, target = self._at(old), self._at(new)
        answer = self._move(source, target)
        if answer.status in {301, 302, 307, 308} and answer.location.endswith(f"{source}/"):
            answer = self._move(f"{source}/", f"{target}/")
        if answer.status not in {201, 204}:
            raise self._http.refusal(answer, target)

    def read(self, path: str, limit: int) -> bytes:
        """Return the bytes of a file, at most ``limit`` and one more."""
        answer = self._http.ask("GET", self._at(path), limit=limit)
        if answer.status in {404, 410}:
            raise TransientError(
                _("{path} is gone from {where}").format(path=path, where=self._http.where),
                scope=Scope.MESSAGE,
            )
        if answer.status != 200:
            raise of_this_file(self._http.refusal(answer, path))
        return answer.body

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}".rstrip("/")

    def _listing(self, at: str) -> Answer:
        headers = {"Depth": "1", "Content-Type": "application/xml"}
        return self._http.ask("PROPFIND", at, limit=_LISTING, content=_PROPFIND, headers=headers)

    def _links(self, page: bytes) -> Iterator[str]:
        from lxml import etree  # type: ignore[import-untyped]

        try:
            root = etree.fromstring(page, safe_parser())
        except etree.XMLSyntaxError as error:
            raise TransientError(
                _("{where} sent no WebDAV listing").format(where=self._http.where)
            ) from error
        return (element.text or "" for element in root.iter("{DAV:}href"))

    def _put(self, path: str, file: IO[bytes]) -> None:
        answer = self._http.ask("PUT", self._at(path), content=_blocks(file), headers=_length(file))
        if answer.status not in {200, 201, 204}:
            raise self._http.refusal(answer, path)

    def _move(self, source: str, target: str) -> Answer:
        headers = {"Destination": self._http.origin + target, "Overwrite": "F"}
        return self._http.ask("MOVE", source, headers=headers)


class PlainWebDAVFolder(WebDAVFolder):
    """A folder on an HTTP server that knows PUT, GET and DELETE, and shows what is in it by an index page."""

    def names(self, folder: str) -> Iterable[str]:
        """Return the names in a folder."""
        if folder and not folder.startswith("."):
            return super().names(folder)
        names = list(super().names(""))
        prefix = _flat(f"{folder or '.archipec'}/")
        ours = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        if folder:
            return ours
        # A rename is over when its source is gone: until then its target may be a part of it.
        unfinished = [name for name in ours if "." not in name]
        return [name for name in names if not any(one in name for one in unfinished)]

    def make(self, folder: str) -> None:
        """Do nothing: see `_at`."""

    def rename(self, old: str, new: str) -> None:
        """Send a file again under its new name."""
        import tempfile

        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._context.temp)) as file:
            answer = self._http.ask("GET", self._at(old), into=file)
            if answer.status != 200:
                raise self._http.refusal(answer, old)
            self._put(new, file)
        gone = self._http.ask("DELETE", self._at(old))
        if gone.status not in {200, 202, 204, 404}:
            raise self._http.refusal(gone, old)

    def _at(self, path: str) -> str:
        # PUT makes no folders, and index pages leave out what begins with a dot.
        return super()._at(_flat(path) if path.startswith(".") else path)

    def _listing(self, at: str) -> Answer:
        return self._http.ask("GET", at, limit=_LISTING)

    def _links(self, page: bytes) -> Iterator[str]:
        from lxml import etree

        root = etree.fromstring(page or b"<html/>", etree.HTMLParser(no_network=True, huge_tree=False))
        return iter([] if root is None else [str(link) for link in root.xpath("//a/@href")])


def _flat(path: str) -> str:
    return "_" + path[1:].replace("/", "-")


def _inside(links: Iterable[str], folder: str) -> Iterator[str]:
    """Yield the names that links name directly in a folder.

    Args:
        folder: its path, encoded, with a slash at the end.
    """
    from urllib.parse import unquote, urljoin, urlsplit

    above = unquote(folder)
    for link in links:
        try:
            path = unquote(urlsplit(urljoin(folder, link)).path)
        except ValueError:
            continue
        name = path.removeprefix(above).removesuffix("/") if path.startswith(above) else ""
        if name and "/" not in name:
            yield name


def _length(file: IO[bytes]) -> dict[str, str]:
    size = file.seek(0, 2)
    file.seek(0)
    return {"Content-Length": str(size)}


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(1 << 18):
        yield block


class WebDAVDrop(DropProvider):
    """A provider's drop folder over WebDAV or plain HTTP, always with TLS."""

    name: ClassVar[str] = "webdav"
    summary: ClassVar[str] = N_("a provider's drop folder over WebDAV, or by HTTP PUT")
    evidence: ClassVar[str] = N_("run against WsgiDAV; not run against any provider's service")
    options: ClassVar[tuple[Option, ...]] = (
        *server_options(_PORT, N_("the folder's path on the server")),
        Option(name="password", help="where the password is", secret=True, required=True),
        Option(
            name="dav",
            help="false for a server that knows PUT, GET and DELETE but not WebDAV; needs form = zip",
            default=True,
            convert=boolean,
        ),
        CA_FILE,
        *DROP_OPTIONS,
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        problems = list(check_server(values, "httpx"))
        if not values["dav"] and values["form"] != "zip":
            problems.append(_('option "dav" = false needs "form" = zip: folders can\'t be renamed by PUT'))
        return parse_with(super().parse, {**values, "path": values["path"].strip("/")}, problems)

    @classmethod
    def where(cls, config: Any) -> str:
        """Return the folder's URL."""
        return server_url(cls.name, config, _PORT)

    @classmethod
    @contextmanager
    def open(cls, config: Any, context: Context) -> Iterator[Self]:
        """Open a session, and see that the folder is there and the login is good."""
        from archipec_plugins.conservation.http import connected

        with connected(config, (config["user"], password_of(config))) as http:
            folder = (WebDAVFolder if config["dav"] else PlainWebDAVFolder)(http, config["path"], context)
            folder.check()
            yield cls(folder, config)


WEBDAV = conservation_sink(WebDAVDrop)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the WebDAV drop folder."""
    yield WEBDAV
