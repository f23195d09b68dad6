"""Makes a profile trust the seals of certified mail: sets what is missing, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from archipec.errors import ConfigError, IntegrityError
from archipec.language import _
from archipec_thunderbird.backup import ChangeRecord, make_backup, write_record
from archipec_thunderbird.certificates import Certificate, chained
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.nss import native
from archipec_thunderbird.nss.changes import add_certificate, self_test, trust_for_mail
from archipec_thunderbird.nss.password import TokenKey, UnknownFormat, WrongPassword, unlock
from archipec_thunderbird.nss.store import CERTIFICATES, KEYS, Change, NssStore, open_store
from archipec_thunderbird.prefs import PREFS, USER, Value, read_prefs, read_prefs_file, write_prefs
from archipec_thunderbird.status import SHA1_PREFERENCE, authorities_of, authority_status, known_certificates

__all__ = ["Step", "TrustRequest", "TrustResult", "open_key", "trust"]

Ask = Callable[[], str]
"""Asks the person for the primary password of the profile at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRequest:
    """What shall be trusted beyond the Actalis root for mail.

    Attributes:
        authorities: further authorities to be trusted for mail.
        carried: certificates that a message carries: intermediates that chain to an authority are added.
        accept_sha1: whether seals with SHA-1 shall be accepted.
    """

    authorities: Sequence[Certificate] = ()
    carried: Sequence[Certificate] | None = None
    accept_sha1: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be changed.

    Attributes:
        change: "mail-trust", "authority" or "intermediate" (a certificate added), or "accept-sha1".
        certificate: whose; None for a preference.
    """

    change: str
    certificate: Certificate | None = None

    def __str__(self) -> str:
        name = self.certificate.name if self.certificate else ""
        return {
            "mail-trust": _("{name} is trusted for mail").format(name=name),
            "authority": _("certificate of {name} added").format(name=name),
            "intermediate": _("intermediate {name} added").format(name=name),
            "accept-sha1": _("seals with SHA-1 are accepted"),
        }[self.change]


@dataclass(frozen=True, slots=True)
class TrustResult:
    """What a run did.

    Attributes:
        steps: what was changed, or with a dry run would be; empty when nothing was missing.
        backup: where the files are as they were before; None when nothing was changed.
    """

    steps: tuple[Step, ...]
    backup: Path | None


def trust(
    profile: Path,
    wanted: TrustRequest,
    ask: Ask,
    *,
    dry_run: bool = False,
    libraries: Path | None = None,
    now: datetime | None = None,
) -> TrustResult:
    """Set what is missing for seals to be trusted, and nothing else.

    Web trust stays exactly as it was. The files that change are copied into a dated folder in the profile first, with
    a record from which `undo.undo` puts back what was there.

    Args:
        ask: called once, if there is a primary password and it is needed.
        dry_run: change nothing; works while Thunderbird runs.
        libraries: folder with Thunderbird's NSS, for profiles in a format that this tool does not know.
        now: the moment at which intermediates must be valid.

    Raises:
        TransientError: Thunderbird is running; nothing was touched.
        AuthError: the primary password is wrong; nothing was touched.
        ConfigError: the message carries no intermediate that may be added, or user.js forbids SHA-1.
        IntegrityError: what was written does not read back.
        ArchipecError: the profile can't be read or written.
    """
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(ProfileLock(profile))
        with open_store(profile) as store:
            steps = _missing(profile, store, wanted, now)
            if dry_run or not steps:
                return TrustResult(steps, None)
            key, changes = _changes(profile, store, steps, cache(ask), libraries)
            preferences = _preferences(profile, steps)
            names = [CERTIFICATES, KEYS] if changes else []
            backup = make_backup(profile, [*names, *([PREFS] if preferences else [])])
            write_record(ChangeRecord(backup, changes, preferences))
            store.apply(changes)
        if preferences:
            write_prefs(profile, {name: after for name, (_, after) in preferences.items()})
        _read_back(profile, steps, key, backup)
        return TrustResult(steps, backup)


def open_key(store: NssStore, ask: Ask) -> TokenKey:
    """Return the key of the primary password, asking for it if there is one.

    Raises:
        WrongPassword: it is wrong.
        UnknownFormat: it can't be checked.
    """
    record = store.password()
    key = unlock(record, "") or unlock(record, ask())
    if key is None:
        raise WrongPassword
    return key


def _missing(profile: Path, store: NssStore, wanted: TrustRequest, now: datetime | None) -> tuple[Step, ...]:
    try:
        key = unlock(store.password(), "")
    except UnknownFormat:
        key = None
    known = known_certificates(store)
    steps: list[Step] = []
    for certificate in authorities_of(wanted.authorities):
        status = authority_status(store, certificate, key, known, now)
        if not status.built_in and not status.stored:
            steps.append(Step("authority", certificate))
        if not status.mail:
            steps.append(Step("mail-trust", certificate))
    if wanted.carried is not None:
        steps += _intermediates(known, wanted, now)
    if wanted.accept_sha1:
        steps += _accept_sha1(profile)
    return tuple(steps)


def _intermediates(
    known: Sequence[Certificate], wanted: TrustRequest, now: datetime | None
) -> Iterable[Step]:
    assert wanted.carried is not None
    chain = chained(wanted.carried, authorities_of(wanted.authorities), now)
    if not chain:
        raise ConfigError(
            _("the message carries no valid intermediate certificate of an authority for PEC"),
            hint=_("try a recent message; for another authority than AgID's give its root with --ca"),
        )
    return [Step("intermediate", one) for one in chain if one not in known]


def _accept_sha1(profile: Path) -> Iterable[Step]:
    if read_prefs_file(profile / USER).get(SHA1_PREFERENCE, True) is not True:
        raise ConfigError(
            _("{profile} sets {name} to false at every start").format(
                profile=profile / USER, name=SHA1_PREFERENCE
            ),
            hint=_("remove that line first"),
        )
    accepted = read_prefs_file(profile / PREFS).get(SHA1_PREFERENCE) is True
    return [] if accepted else [Step("accept-sha1")]


def _changes(
    profile: Path, store: NssStore, steps: Sequence[Step], ask: Ask, libraries: Path | None
) -> tuple[TokenKey | None, tuple[Change, ...]]:
    """Work out the rows that change; the password is asked for only if something must be signed.

    Returns:
        The key they are signed with, if it is known, and the changes.
    """
    numbers = store.free_numbers()
    added = [add_certificate(store, one, numbers) for one in _of(steps, "authority", "intermediate")]
    to_trust = _of(steps, "mail-trust")
    if not to_trust:
        return None, tuple(added)
    try:
        key = open_key(store, ask)
        self_test(store, key)
    except UnknownFormat:
        if libraries is None:
            raise
        return None, (*added, *native.trust_for_mail(profile, store, to_trust, libraries, ask))
    return key, (*added, *(trust_for_mail(store, one, key, numbers) for one in to_trust))


def _of(steps: Sequence[Step], *kinds: str) -> list[Certificate]:
    return [step.certificate for step in steps if step.certificate and step.change in kinds]


def _preferences(profile: Path, steps: Sequence[Step]) -> Mapping[str, tuple[Value | None, Value | None]]:
    if not any(step.change == "accept-sha1" for step in steps):
        return {}
    return {SHA1_PREFERENCE: (read_prefs_file(profile / PREFS).get(SHA1_PREFERENCE), True)}


def _read_back(profile: Path, steps: Sequence[Step], key: TokenKey | None, backup: Path) -> None:
    """Read the profile anew, and make sure that it says what was meant."""
    with open_store(profile) as store:
        known = known_certificates(store)
        wrong = [step for step in steps if not _holds(profile, store, step, key, known)]
    if wrong:
        raise IntegrityError(
            _("{profile}: what was written does not read back ({wrong})").format(
                profile=profile, wrong=wrong[0]
            ),
            hint=_("`thunderbird-profile-tool undo` puts back what was there; copies are in {backup}").format(
                backup=backup
            ),
        )


def _holds(
    profile: Path, store: NssStore, step: Step, key: TokenKey | None, known: Sequence[Certificate]
) -> bool:
    if step.certificate is None:
        return read_prefs(profile).get(SHA1_PREFERENCE) is True
    status = authority_status(store, step.certificate, key, known)
    return status.mail is True if step.change == "mail-trust" else status.stored
