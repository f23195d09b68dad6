"""Trusting and taking back, on databases that NSS's own certutil made."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from archipec.errors import AuthError, ConfigError, IntegrityError, TransientError
from archipec.simulator import shared_authority
from archipec_thunderbird import trust as trust_module
from archipec_thunderbird.backup import FOLDER
from archipec_thunderbird.certificates import ACTALIS, Certificate, actalis_root
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.nss.changes import add_certificate
from archipec_thunderbird.nss.integrity import sign
from archipec_thunderbird.nss.objects import NEW_STYLE, Usage
from archipec_thunderbird.nss.password import unlock
from archipec_thunderbird.nss.store import Change, open_store
from archipec_thunderbird.nss.trust_row import find_trust
from archipec_thunderbird.prefs import read_prefs_file
from archipec_thunderbird.status import SHA1_PREFERENCE, AuthorityStatus, read_status
from archipec_thunderbird.trust import TrustRequest, TrustResult, trust
from archipec_thunderbird.undo import Undone, undo
from testbed.nss import (
    add_new_columns,
    add_trust,
    age_password_record,
    change_password,
    listed_trust,
    make_databases,
)
from testbed.requirements import require

ROOT = Certificate(shared_authority(3).root)
INTERMEDIATE = Certificate(shared_authority(3).ca)
OTHER = Certificate(shared_authority(4).root)
PASSWORD = "una parola"
PREFS = b'// Mozilla User Preferences\n\nuser_pref("mail.rights.version", 1);\n'


@pytest.fixture(params=["", PASSWORD], ids=["no-password", "password"])
def password(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def profile(tmp_path: Path, password: str) -> Path:
    require("certutil")
    make_databases(tmp_path, password)
    (tmp_path / "prefs.js").write_bytes(PREFS)
    return tmp_path


@pytest.fixture
def make(profile: Path, password: str) -> Callable[..., TrustResult]:
    def make_trusted(*authorities: Certificate, **options: Any) -> TrustResult:
        wanted = TrustRequest(
            authorities=authorities,
            carried=options.pop("carried", None),
            accept_sha1=options.pop("accept_sha1", False),
        )
        return trust(profile, wanted, lambda: password, **options)

    return make_trusted


def content(profile: Path) -> list[tuple[Any, ...]]:
    """Everything in both databases, whatever the layout of the files."""
    rows: list[tuple[Any, ...]] = []
    for name, tables in (("cert9.db", ("nssPublic",)), ("key4.db", ("metaData", "nssPrivate"))):
        with closing(sqlite3.connect(profile / name)) as database:
            for table in tables:
                rows += sorted(database.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
    return rows


def never() -> str:
    raise AssertionError("nobody should be asked")


def status_of(profile: Path, certificate: Certificate) -> AuthorityStatus:
    return next(
        one for one in read_status(profile, [certificate]).authorities if one.certificate == certificate
    )


def test_a_new_profile_trusts_actalis_and_nobody_else(profile: Path, password: str) -> None:
    status = read_status(profile, [ROOT])
    actalis, root = status.authorities
    assert (actalis.certificate.sha256, actalis.web, actalis.mail) == (ACTALIS, True, True)
    assert (actalis.built_in, actalis.row) == (True, None)
    assert (root.web, root.mail, root.built_in, root.stored) == (False, False, False, False)
    assert (status.accepts_sha1, status.primary_password) == (False, bool(password))


def test_where_nothing_is_missing_nothing_is_touched(profile: Path) -> None:
    before = {path.name: path.read_bytes() for path in profile.iterdir()}
    assert trust(profile, TrustRequest(), never) == TrustResult((), None)
    assert {
        path.name: path.read_bytes() for path in profile.iterdir() if path.name != ".parentlock"
    } == before


@pytest.mark.parametrize("new_style", [False, True], ids=["old-style", "new-style"])
@pytest.mark.parametrize("old_record", [False, True], ids=["AES", "3DES"])
def test_trust_and_undo(
    profile: Path, password: str, make: Callable[..., TrustResult], old_record: bool, new_style: bool
) -> None:
    add_trust(profile, actalis_root().der, "C,,", password)
    if old_record:
        age_password_record(profile, password)
    if new_style:
        add_new_columns(profile)
    before = content(profile)

    outcome = make(ROOT, carried=[INTERMEDIATE], accept_sha1=True)
    assert [step.change for step in outcome.steps] == [
        "mail-trust",
        "authority",
        "mail-trust",
        "intermediate",
        "accept-sha1",
    ]
    actalis, root = read_status(profile, [ROOT]).authorities
    assert (actalis.web, actalis.mail, actalis.row, actalis.row_counts) == (True, True, "old-style", True)
    assert (root.web, root.mail, root.stored) == (False, True, True)
    assert (root.row, root.intermediates) == ("new-style" if new_style else "old-style", (INTERMEDIATE.name,))
    assert (profile / "prefs.js").read_bytes() == PREFS + f'user_pref("{SHA1_PREFERENCE}", true);\n'.encode()
    changed = content(profile)
    assert make(ROOT, carried=[INTERMEDIATE], accept_sha1=True) == TrustResult((), None)
    assert content(profile) == changed

    assert undo(profile, never) == Undone(records=1, restored=5, left=0)
    assert content(profile) == before
    assert (profile / "prefs.js").read_bytes() == PREFS
    assert undo(profile, never) == Undone(records=0, restored=0, left=0)


def test_certutil_agrees(profile: Path, password: str, make: Callable[..., TrustResult]) -> None:
    add_trust(profile, ROOT.der, "CT,,c", password)
    make(ROOT)
    assert list(listed_trust(profile, password).values()) == ["CT,C,c"]
    undo(profile, never)
    assert list(listed_trust(profile, password).values()) == ["CT,,c"]


def test_both_databases_are_backed_up_together_with_a_record(
    profile: Path, make: Callable[..., TrustResult]
) -> None:
    before = {name: (profile / name).read_bytes() for name in ("cert9.db", "key4.db", "prefs.js")}
    backup = make(ROOT, accept_sha1=True).backup
    assert backup is not None
    assert backup.parent == profile / FOLDER
    assert {name: (backup / name).read_bytes() for name in before} == before
    assert {path.stat().st_mode & 0o777 for path in (backup.parent, backup)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in backup.iterdir()} == {0o600}
    record = json.loads((backup / "changes.json").read_bytes())
    assert record["preferences"] == {SHA1_PREFERENCE: [None, True]}
    second = make(OTHER).backup
    assert second is not None
    assert second != backup
    assert not (second / "prefs.js").exists(), "only what changes is copied"


def test_a_dry_run_changes_nothing_and_needs_no_password(profile: Path) -> None:
    before = {path.name: path.read_bytes() for path in profile.iterdir()}
    with ProfileLock(profile):  # as if Thunderbird ran, for the dry run takes no lock
        outcome = trust(profile, TrustRequest(authorities=[ROOT], accept_sha1=True), never, dry_run=True)
    assert [str(step) for step in outcome.steps] == [
        f"certificate of {ROOT.name} added",
        f"{ROOT.name} is trusted for mail",
        "seals with SHA-1 are accepted",
    ]
    (profile / ".parentlock").unlink()
    assert {path.name: path.read_bytes() for path in profile.iterdir()} == before


def test_an_intermediate_alone_needs_no_password_and_gets_no_trust(profile: Path, password: str) -> None:
    add_trust(profile, ROOT.der, ",C,", password)
    outcome = trust(profile, TrustRequest(authorities=[ROOT], carried=[INTERMEDIATE]), never)
    assert [step.change for step in outcome.steps] == ["intermediate"]
    assert listed_trust(profile, password)[f"{INTERMEDIATE.name} - {INTERMEDIATE.organization}"] == ",,"


@pytest.mark.parametrize(
    ("authorities", "carried"),
    [((), [INTERMEDIATE]), ((ROOT,), []), ((OTHER,), [INTERMEDIATE])],
    ids=["not AgID's", "none", "another root's"],
)
def test_an_intermediate_that_leads_nowhere_is_refused(
    profile: Path,
    make: Callable[..., TrustResult],
    authorities: tuple[Certificate, ...],
    carried: list[Certificate],
) -> None:
    before = content(profile)
    with pytest.raises(ConfigError, match="no valid intermediate"):
        make(*authorities, carried=carried)
    assert content(profile) == before


def test_an_intermediate_that_is_not_valid_now_is_refused(make: Callable[..., TrustResult]) -> None:
    with pytest.raises(ConfigError, match="no valid intermediate"):
        make(ROOT, carried=[INTERMEDIATE], now=datetime(2051, 1, 1, tzinfo=UTC))


def test_user_js_has_the_last_word_on_sha1(profile: Path, make: Callable[..., TrustResult]) -> None:
    (profile / "user.js").write_text(f'user_pref("{SHA1_PREFERENCE}", false);\n')
    with pytest.raises(ConfigError, match=r"user\.js"):
        make(ROOT, accept_sha1=True)
    assert not (profile / FOLDER).exists()


@pytest.mark.parametrize("password", [PASSWORD], indirect=True)
def test_a_wrong_password_touches_nothing(profile: Path) -> None:
    before = content(profile)
    with pytest.raises(AuthError, match="wrong"):
        trust(profile, TrustRequest(authorities=[ROOT]), lambda: "no")
    assert content(profile) == before
    assert not (profile / FOLDER).exists()


def test_nothing_happens_while_thunderbird_has_the_profile(
    profile: Path, make: Callable[..., TrustResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real program and another process in test_trust_real.py and test_lock.py."""

    def taken(*_: object) -> int:
        raise TransientError("Thunderbird is running")

    before = {path.name: path.read_bytes() for path in profile.iterdir()}
    monkeypatch.setattr("archipec_thunderbird.lock._open_locked", taken)
    for run in (lambda: make(ROOT, accept_sha1=True), lambda: undo(profile, never)):
        with pytest.raises(TransientError):
            run()
    assert {path.name: path.read_bytes() for path in profile.iterdir()} == before


def test_what_does_not_read_back_is_said(
    profile: Path, make: Callable[..., TrustResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        trust_module, "trust_for_mail", lambda store, one, _, numbers: add_certificate(store, one, numbers)
    )
    with pytest.raises(IntegrityError, match="does not read back"):
        make(ROOT)


def test_several_runs_are_undone_together(profile: Path, make: Callable[..., TrustResult]) -> None:
    before = content(profile)
    make(ROOT)
    make(OTHER, accept_sha1=True)
    assert undo(profile, never) == Undone(records=2, restored=5, left=0)
    assert content(profile) == before


def test_a_run_that_was_cut_off_is_finished_or_undone(
    profile: Path, make: Callable[..., TrustResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the databases, which are one transaction, and the preferences."""
    before = content(profile)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(trust_module, "write_prefs", cut)
        with pytest.raises(KeyboardInterrupt):
            make(ROOT, accept_sha1=True)
    assert [step.change for step in make(ROOT, accept_sha1=True).steps] == ["accept-sha1"]
    assert undo(profile, never) == Undone(records=2, restored=3, left=0)
    assert content(profile) == before
    assert (profile / "prefs.js").read_bytes() == PREFS


def test_a_run_that_was_cut_off_before_it_changed_anything(
    profile: Path, make: Callable[..., TrustResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    before = content(profile)
    monkeypatch.setattr("archipec_thunderbird.nss.store.NssStore.apply", cut)
    with pytest.raises(KeyboardInterrupt):
        make(ROOT, accept_sha1=True)
    assert undo(profile, never) == Undone(records=1, restored=0, left=0)
    assert content(profile) == before


def test_what_was_changed_since_is_left(
    profile: Path, password: str, make: Callable[..., TrustResult]
) -> None:
    """Somebody took the trust away again, and set the preference back."""
    add_new_columns(profile)
    make(ROOT, accept_sha1=True)
    (profile / "prefs.js").write_bytes(PREFS)
    with open_store(profile) as store:
        key = unlock(store.password(), password)
        assert key is not None
        (row,) = store.trust_rows(NEW_STYLE, ROOT)
        mail, never_trust = NEW_STYLE.usages[Usage.MAIL], b"\0\0\0\3"
        store.apply(
            [
                Change(
                    row.number,
                    {},
                    {mail: never_trust},
                    {mail: (None, sign(key, row.number, mail, never_trust))},
                )
            ]
        )
    assert undo(profile, never) == Undone(records=1, restored=1, left=1)
    status = status_of(profile, ROOT)
    assert (status.mail, status.row_counts, status.stored) == (False, True, False)


def test_a_primary_password_set_since(profile: Path, password: str, make: Callable[..., TrustResult]) -> None:
    """NSS signed every row anew then; what is put back is signed with the new password, asked for once."""
    add_trust(profile, ROOT.der, "C,,", password)
    add_trust(profile, OTHER.der, "C,,", password)
    make(ROOT)
    make(OTHER)
    change_password(profile, password, "un'altra")
    asked = []

    def ask() -> str:
        asked.append(1)
        return "un'altra"

    with pytest.raises(AuthError):
        undo(profile, lambda: "no")
    assert undo(profile, ask) == Undone(records=2, restored=2, left=0)
    assert len(asked) == 1
    assert list(listed_trust(profile, "un'altra").values()) == ["C,,", "C,,"]
    with open_store(profile) as store:
        key = unlock(store.password(), "un'altra")
        for one in (ROOT, OTHER):
            found = find_trust(store, one, key)
            assert found is not None
            assert found.counts


def test_a_damaged_record_is_no_reason_to_touch_anything(
    profile: Path, make: Callable[..., TrustResult]
) -> None:
    backup = make(ROOT).backup
    assert backup is not None
    changed = content(profile)
    for text in (b"{", b"[]", b'{"version": 2}', b'{"version": 1, "undone": false, "rows": [{}]}'):
        (backup / "changes.json").write_bytes(text)
        with pytest.raises(IntegrityError, match="can't be read"):
            undo(profile, never)
    assert content(profile) == changed


def test_undo_can_be_tried_first(profile: Path, make: Callable[..., TrustResult]) -> None:
    make(ROOT, accept_sha1=True)
    changed = content(profile)
    assert undo(profile, never, dry_run=True) == Undone(records=1, restored=3, left=0)
    assert content(profile) == changed
    assert read_prefs_file(profile / "prefs.js")[SHA1_PREFERENCE] is True
    assert undo(profile, never) == Undone(records=1, restored=3, left=0)


def test_other_keys_in_the_databases_survive_an_undo(
    profile: Path, password: str, make: Callable[..., TrustResult]
) -> None:
    """Why the old files are not simply copied back."""
    make(ROOT)
    add_trust(profile, OTHER.der, "C,,", password)
    undo(profile, never)
    assert list(listed_trust(profile, password).values()) == ["C,,"]
