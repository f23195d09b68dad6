"""Reads reports whose vocabulary is not known beforehand: XML or JSON, as files that providers leave in a folder.

No standard says what a rapporto di versamento looks like. What all have in common is enough: they name what was
deposited by identifiers and hashes that archipec made, and they say an outcome in a few words. So a report is a tree;
each document's own part of it is the largest subtree that mentions this document and no other; the outcome said there
decides on it, else the one said outside all such parts. A statement is written ``name=value`` (local name of the
element, attribute or key) for the patterns of `Words`, so that words of a subject decide nothing.

A signature around a report (CAdES enveloping) is taken off and not checked: the report is proof by the hashes in it
and by where it came from; who shows it shows it whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from archipec.conservation.provider import (
    Conserved,
    Outcome,
    Package,
    Partial,
    Pending,
    Rejected,
    Report,
    Ticket,
)
from archipec.errors import IntegrityError
from archipec.pec.cms import read_signed_data
from archipec.xml import safe_parser

if TYPE_CHECKING:
    from lxml.etree import _Element  # type: ignore[import-untyped]

_OUTCOME = r"(?i)[\w.-]*(?:esito|stato|status|outcome|result)[\w.-]*=\s*"
POSITIVE: Final = re.compile(
    _OUTCOME + r"(?:positivo|ok|conservato|conserved|accettato|accepted|successo|success)\s*"
)
NEGATIVE: Final = re.compile(
    _OUTCOME + r"(?:negativo|ko|rifiutato|rejected|scartato|refused|errore|error|fallito|failed)\b.*"
)
_REASON = re.compile(
    r"(?is)[\w.-]*(?:messaggio|descrizione|motiv|reason|message|errore|error)[\w.-]*=\s*(.+)"
)
_DOCUMENT = re.compile(r"(?<![A-Z0-9-])[A-Z]{1,8}-[A-Z0-9]{24}(?![A-Z0-9-])")
_DIGEST = re.compile(
    r"(?<![A-Za-z0-9+/=])(?:[0-9A-Fa-f]{64}(?![A-Za-z0-9+/=])|[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=]))"
)
_LONGEST_REASON = 300
_MANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Words:
    """By which words a report says that something is, or is not, conserved; matched against all of ``name=value``."""

    positive: re.Pattern[str] = POSITIVE
    negative: re.Pattern[str] = NEGATIVE


class NotUnderstood(IntegrityError):
    """This is no report, or not all of one."""


def read_report(raw: bytes, suffix: str, package: Package, ticket: Ticket, words: Words = Words()) -> Outcome:
    """Read a report that is about a package, as its place or its name says.

    Args:
        raw: the file, bounded by who read it.
        suffix: of its name.

    Returns:
        what it says of the package, to be proven by who asked; `Pending` when it says nothing of it.

    Raises:
        NotUnderstood: it is no report, or cut short.
    """
    tree = _tree(_unwrapped(raw))
    said = _Said(package)
    said.read(tree)
    report = Report(
        raw=raw,
        suffix=suffix,
        about=package.id,
        documents=said.digests(),
        digest=_whole(said.tokens, package, ticket),
    )
    verdicts = {document.id: said.verdict(document.id, words) for document in package.documents}
    conserved = frozenset(document for document, verdict in verdicts.items() if verdict is True)
    refused = {
        document: Rejected(reason=said.reason(document), report=report)
        for document, verdict in verdicts.items()
        if verdict is False
    }
    if len(conserved) == len(verdicts):
        return Conserved(report=report)
    if len(refused) == len(verdicts):
        return Rejected(reason=said.reason(""), report=report)
    if conserved or refused:
        return Partial(report=report, conserved=conserved, rejected=refused)
    return Pending(reason="its report says no outcome that is understood")


def _whole(tokens: set[str], package: Package, ticket: Ticket) -> str:
    known = {hashlib.sha256(package.index).hexdigest(), ticket.sha256} - {""}
    return next((digest for digest in known if digest in tokens), "")


@dataclass(slots=True)
class _Node:
    """A part of a report: what it states itself, the parts in it, and which document it mentions, or many, or none."""

    statements: list[str] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)
    mentions: str = ""


class _Said:
    """What a report says of each document, and of all (under an empty id)."""

    def __init__(self, package: Package) -> None:
        self._by_token = {document.key.sha256: document.id for document in package.documents}
        self._by_token |= {document.id: document.id for document in package.documents}
        self._hashes = {document.id: document.key.sha256 for document in package.documents}
        self._statements: dict[str, list[str]] = {}
        self.tokens: set[str] = set()
        """Every digest in the report, in lower-case hexadecimal."""

    def read(self, tree: _Node) -> None:
        self._mark(tree)
        self._sort(tree)

    def verdict(self, document: str, words: Words) -> bool | None:
        """Whether it is conserved, by its own part of the report and else by the rest; None when neither says so."""
        own, general = (_outcomes(self._statements.get(name, []), words) for name in (document, ""))
        if False in own:
            return False
        if own:
            return None if False in general else True
        return None if not general else False not in general

    def reason(self, document: str) -> str:
        """Return the words about a refusal: the document's own, else the general ones; of all when no id is given."""
        names = (document, "") if document else ("", *self._hashes)
        found: dict[str, None] = {}
        for name in names:
            matches = (_REASON.fullmatch(one) for one in self._statements.get(name, []))
            found.update(dict.fromkeys(match[1] for match in matches if match is not None))
            if document and found:
                break
        text = " ".join("; ".join(found).split())
        line = "".join(char if char.isprintable() else "?" for char in text)
        return line[:_LONGEST_REASON] or "the report gives no reason"

    def digests(self) -> dict[str, str]:
        """Return the digest that the report states of each document it mentions: ours, when it is there."""
        found = {}
        for document, ours in self._hashes.items():
            stated = [digest for one in self._statements.get(document, []) for digest in _digests(one)]
            if stated:
                found[document] = ours if ours in stated else stated[0]
        return found

    def _mark(self, node: _Node) -> str:
        mentioned = {self._mark(child) for child in node.children}
        for statement in node.statements:
            digests = list(_digests(statement))
            self.tokens.update(digests)
            names = [*digests, *_DOCUMENT.findall(statement)]
            mentioned |= {self._by_token[name] for name in names if name in self._by_token}
        mentioned.discard("")
        node.mentions = _MANY if len(mentioned) > 1 else next(iter(mentioned), "")
        return node.mentions

    def _sort(self, node: _Node, owner: str = "") -> None:
        if node.mentions != _MANY:
            owner = node.mentions or owner
        self._statements.setdefault(owner, []).extend(node.statements)
        for child in node.children:
            self._sort(child, owner)


def _outcomes(statements: list[str], words: Words) -> set[bool]:
    found = set()
    for one in statements:
        if words.negative.fullmatch(one):
            found.add(False)
        elif words.positive.fullmatch(one):
            found.add(True)
    return found


def _digests(statement: str) -> Iterator[str]:
    for found in _DIGEST.findall(statement.partition("=")[2]):
        yield found.lower() if len(found) == 64 else base64.b64decode(found).hex()


# -- from bytes to a tree --------------------------------------------------------------------------------


def _unwrapped(raw: bytes) -> bytes:
    """The report inside a signature, or the bytes as they are."""
    if not raw.startswith(b"\x30"):
        return raw
    try:
        return read_signed_data(raw).content or b""
    except IntegrityError as error:
        raise NotUnderstood(f"its signature can't be read: {error.message}") from error


def _tree(data: bytes) -> _Node:
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    try:
        if start == b"<":
            return _xml(data)
        if start in (b"{", b"["):
            return _json("", json.loads(data))
    except (ValueError, RecursionError) as error:
        raise NotUnderstood("it is cut short or damaged") from error
    raise NotUnderstood("it is neither XML nor JSON")


def _xml(data: bytes) -> _Node:
    from lxml import etree  # type: ignore[import-untyped]

    try:
        root = etree.fromstring(data.lstrip(), safe_parser(only_elements=True))
    except etree.XMLSyntaxError as error:
        raise NotUnderstood("it is no whole XML document") from error
    if root.getroottree().docinfo.doctype or _local(root).lower() == "html":
        raise NotUnderstood("it is a web page or declares a document type")
    return _element(root)


def _element(element: _Element) -> _Node:
    name = _local(element)
    node = _Node([f"{_local_name(key)}={value}" for key, value in element.attrib.items()])
    texts = [element.text or "", *(child.tail or "" for child in element)]
    node.statements += [f"{name}={text.strip()}" for text in texts if text.strip()]
    node.children = [_element(child) for child in element]
    return node


def _local(element: _Element) -> str:
    return _local_name(str(element.tag))


def _local_name(name: str) -> str:
    return name.rpartition("}")[2]


def _json(name: str, value: object) -> _Node:
    node = _Node()
    if isinstance(value, Mapping):
        members = [(str(key), member) for key, member in value.items()]
    elif isinstance(value, list):
        members = [(name, member) for member in value]
    else:
        members = []
        node.statements.append(f"{name}={value}")
    for key, member in members:
        if isinstance(member, Mapping | list):
            node.children.append(_json(key, member))
        else:
            node.statements.append(f"{key}={member}")
    return node
