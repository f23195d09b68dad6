"""Name constraints: for whom an authority may issue certificates (RFC 5280 §4.2.1.10).

They are what ties an authority of certified mail to its providers: AgID CA1 may certify the mail domains and the
organizations that its own certificate lists, and no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate, Name

__all__ = ["NameConstraints"]

_MOST_COMPARISONS = 1 << 20  # of names with subtrees in one certificate; openssl stops there too


class NameConstraints:
    """The constraints of the authorities of a path so far.

    Directory names, mail addresses and DNS names are compared. A name of another type is refused when an authority
    constrains that type at all, and so is a subtree with a minimum or maximum, which RFC 5280 gives no meaning.
    """

    def __init__(self) -> None:
        self._permitted: list[list[Any]] = []  # a list of subtrees for each authority that has one
        self._excluded: list[Any] = []

    def add(self, authority: Certificate) -> None:
        """Have the constraints of one more authority hold for what follows below it."""
        constraints = authority.name_constraints_value
        if constraints is None:
            return
        # Absent fields are empty to asn1crypto, and an empty list of subtrees permits all like an absent one.
        self._permitted.append(list(constraints["permitted_subtrees"] or ()))
        self._excluded += list(constraints["excluded_subtrees"] or ())

    def permit(self, certificate: Certificate) -> bool:
        """Tell whether every name of a certificate is permitted and none is excluded (RFC 5280 §6.1.3 b, c)."""
        names = _names(certificate)
        subtrees = len(self._excluded) + sum(map(len, self._permitted))
        if len(names) * subtrees > _MOST_COMPARISONS:
            return False
        try:
            return all(
                all(_is_permitted(kind, value, one) for one in self._permitted)
                and not any(_is_within(value, tree) for tree in _of_type(kind, self._excluded))
                for kind, value in names
            )
        except _CannotTell:
            return False


class _CannotTell(Exception):
    """A name can't be compared with a subtree."""


def _is_permitted(kind: str, value: Any, subtrees: list[Any]) -> bool:
    """Tell whether a name is within one of the subtrees of its type; a type without any is not constrained."""
    mine = _of_type(kind, subtrees)
    return not mine or any(_is_within(value, tree) for tree in mine)


def _of_type(kind: str, subtrees: list[Any]) -> list[Any]:
    return [tree for tree in subtrees if tree["base"].name == kind]


def _names(certificate: Certificate) -> list[tuple[str, Any]]:
    """The names of a certificate's holder, each with its type."""
    names: list[tuple[str, Any]] = []
    if len(certificate.subject.chosen):
        names.append(("directory_name", certificate.subject))
    for attributes in certificate.subject.chosen:
        for attribute in attributes:
            if attribute["type"].native == "email_address":
                names.append(("rfc822_name", attribute["value"]))
    names += [(name.name, name.chosen) for name in certificate.subject_alt_name_value or ()]
    return names


def _is_within(value: Any, tree: Any) -> bool:
    """Tell whether a name is within a subtree of its own type."""
    base = tree["base"]
    if tree["minimum"].native or tree["maximum"].native is not None:
        raise _CannotTell
    if base.name == "directory_name":
        return _directory_within(value, base.chosen)
    if base.name == "rfc822_name":
        return _address_within(str(value.native), str(base.native))
    if base.name == "dns_name":
        return _host_within(_folded(str(value.native)), _folded(str(base.native)))
    raise _CannotTell


def _directory_within(name: Name, base: Name) -> bool:
    parts, first = name.chosen, base.chosen
    return len(parts) >= len(first) and all(one == other for one, other in zip(first, parts, strict=False))


def _address_within(address: str, base: str) -> bool:
    """Compare as for one mailbox, all of a host (`example.it`) or the hosts of a domain (`.example.it`)."""
    local, _, host = address.rpartition("@")
    base_local, at, base_host = base.rpartition("@")
    host, base_host = _folded(host), _folded(base_host)
    if not base_host or not host:
        raise _CannotTell
    if at:
        return (local, host) == (base_local, base_host)
    if base_host.startswith("."):
        return len(host) > len(base_host) and host.endswith(base_host)
    return host == base_host


def _host_within(host: str, base: str) -> bool:
    return not base or host == base or host.endswith(base if base.startswith(".") else f".{base}")


def _folded(host: str) -> str:
    """A host without the dot of the root zone, ASCII letters in lower case (RFC 4343 §3)."""
    return host.removesuffix(".").lower() if host.isascii() else host.removesuffix(".")
