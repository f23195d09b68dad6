"""``thunderbird-profile-tool check``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from archipec.errors import ATTENTION, DONE, IntegrityError, PermanentError, exit_code
from archipec.language import N_, _
from archipec.pec.anchors import Anchors
from archipec.pec.inspection import inspect_message as judge_message
from archipec.pec.recognise import why_no_message
from archipec.pec.seal import Seal, Status
from archipec.terminal import command_line, printable, say, say_error
from archipec_thunderbird.causes import CODES, Cause, Diagnosis, diagnose
from archipec_thunderbird.certificates import ACTALIS, Certificate, chained, read_authorities
from archipec_thunderbird.chain import Trust, trust_of_profile, trust_out_of_the_box
from archipec_thunderbird.cli import PROGRAM
from archipec_thunderbird.cli.each import for_each
from archipec_thunderbird.cli.options import chosen_profiles, json_option, profile_options
from archipec_thunderbird.message import SealedMessage, find_seal, read_file
from archipec_thunderbird.profiles import Profile, find_profiles
from archipec_thunderbird.seal import carried_certificates

__all__ = ["check"]

_CHANGES = {
    "root-untrusted": N_("{name} is trusted for mail; its trust for the web stays as it is"),
    "intermediate-missing": N_("the certificate of {name} is added to the profile, without trust of its own"),
    "sha1": N_(
        "seals with SHA-1 are accepted, in all signed mail: whoever can forge SHA-1 could then forge a seal"
    ),
}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--ca",
    "authorities",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Certificate of a further root that you trust (PEM or DER).",
)
@profile_options
@json_option
def check(
    *,
    files: Sequence[Path],
    authorities: Sequence[Path],
    profile: str | None,
    all_profiles: bool,
    as_json: bool,
) -> int:
    """Say why Thunderbird does or does not trust the seal of a message, and what to run, if anything helps.

    Each FILE is one message, saved from Thunderbird or the webmail as .eml. A certificate that one of them lacks
    may be in another: give several of the same provider.

    \b
    Examples:
      thunderbird-profile-tool check message.eml
      thunderbird-profile-tool check message.eml other.eml --profile default-release
    """
    roots = {one: path for path in authorities for one in read_authorities([path])}
    messages: dict[Path, SealedMessage] = {}
    verdicts: dict[Path, Seal] = {}
    refused = DONE
    for path in files:
        raw = read_file(path)
        if (reason := why_no_message(raw)) is not None:
            error = PermanentError(
                _("{path} is not a message: {reason}").format(path=path, reason=reason),
                hint=_("give one message, saved as .eml"),
            )
            say_error(error)
            refused = error.exit_code
            continue
        messages[path] = find_seal(raw)
        verdicts[path] = judge_message(raw, Anchors(tuple(one.der for one in roots))).seal

    if not messages:
        return refused

    def inspect_message(target: _Target) -> int:
        codes = {DONE, refused}
        for path, message in messages.items():
            finding = _find(path, message, target, messages, roots, verdicts[path])
            click.echo(json.dumps(finding.shape()) if as_json else "\n".join(finding.lines()))
            codes.add(finding.exit_code)
        return exit_code(codes)

    if profile is None and not any(one.used for one in find_profiles()):
        say(_("no profile of Thunderbird here: judged by what it trusts when it is new"))
        return inspect_message(_Target(None, trust_out_of_the_box(tuple(roots)), ()))
    named = profile is not None or all_profiles

    def judge_in(one: Profile) -> int:
        options = ("--profile", str(one.path)) if named else ()
        return inspect_message(_Target(one.path, trust_of_profile(one.path, tuple(roots)), options))

    return for_each(chosen_profiles(profile, all_profiles=all_profiles), judge_in)


@dataclass(frozen=True, slots=True)
class _Target:
    """A profile to judge in, or Thunderbird as it comes."""

    profile: Path | None
    trust: Trust
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """What is said of one message in one profile."""

    file: Path
    target: _Target
    diagnosis: Diagnosis
    command: str | None
    changes: tuple[str, ...]
    hint: str
    verdict: Seal
    """What `archipec inspect` says of the seal, which asks whether it was good when it was made."""

    @property
    def exit_code(self) -> int:
        if self.verdict.status is Status.ALTERED:
            return IntegrityError.exit_code
        return DONE if self.diagnosis.trusted else ATTENTION

    @property
    def worth(self) -> str:
        """What the message is worth: never something else than `archipec inspect` says."""
        valid = self.verdict.status is Status.VALID
        if valid == self.diagnosis.keeps_its_value:
            return self.diagnosis.worth
        if valid:
            return _("whatever Thunderbird says of it, the seal is valid: {reason}").format(
                reason=self.verdict.reason
            )
        return _("whatever Thunderbird says of it, the seal is {status}: {reason}").format(
            status=self.verdict.status, reason=self.verdict.reason
        )

    def shape(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        seal, chain = self.diagnosis.seal, self.diagnosis.chain
        return {
            "file": str(self.file),
            "profile": None if self.target.profile is None else str(self.target.profile),
            "trusted": self.diagnosis.trusted,
            "thunderbird": {"code": self.diagnosis.code, "name": CODES[self.diagnosis.code]},
            "causes": [
                {"name": one.name, "text": one.text, "fixable": one.fixable} for one in self.diagnosis.causes
            ],
            "command": self.command,
            "changes": list(self.changes),
            "hint": self.hint,
            "worth": self.worth,
            "archipec": {"status": str(self.verdict.status), "reason": self.verdict.reason},
            "seal": None
            if seal is None or chain is None
            else {
                "signer": seal.signer.name,
                "addresses": list(seal.addresses),
                "root": chain.root.name if chain.root else None,
                "signed_at": seal.signed_at.isoformat() if seal.signed_at else None,
                "digest": seal.digest,
            },
        }

    def lines(self) -> list[str]:
        """The same for a person."""
        where = (
            _("in {profile}").format(profile=self.target.profile)
            if self.target.profile
            else _("as it comes, without a profile")
        )
        verdict = (
            _("{file}: Thunderbird ({where}) trusts this seal")
            if self.diagnosis.trusted
            else _("{file}: Thunderbird ({where}) does not trust this seal")
        )
        lines = [verdict.format(file=self.file, where=where)]
        lines += [f"  {one.name}: {one.text}" for one in self.diagnosis.causes]
        if self.command:
            lines += ["  " + _("this changes: {change}").format(change=change) for change in self.changes]
            lines.append(_("run: {command}").format(command=self.command))
        elif not self.diagnosis.trusted:
            stubborn = [one.name for one in self.diagnosis.causes if not one.fixable]
            because = self.hint or _("no setting of Thunderbird's takes away {causes}").format(
                causes=", ".join(stubborn)
            )
            lines.append(_("nothing to run: {because}").format(because=because))
        lines += [
            _("archipec: {status}: {reason}").format(status=self.verdict.status, reason=self.verdict.reason),
            _("worth: {worth}").format(worth=self.worth),
        ]
        return [printable(line) for line in lines]


def _find(
    path: Path,
    message: SealedMessage,
    target: _Target,
    messages: Mapping[Path, SealedMessage],
    roots: Mapping[Certificate, Path],
    verdict: Seal,
) -> _Finding:
    """Judge one message; the certificates of the others may help."""
    lenders: dict[Certificate, Path] = {}
    for other, lender in messages.items():
        for certificate in chained(carried_certificates(lender), target.trust.authorities):
            lenders.setdefault(certificate, other)
    diagnosis = diagnose(message, target.trust, helpers=tuple(lenders))
    options = _options(diagnosis, lenders, roots) if diagnosis.fixable else None
    if options is None:
        return _Finding(path, target, diagnosis, None, (), _hint(diagnosis.causes, roots), verdict)
    changes = [
        _(_CHANGES[cause.name]).format(name=cause.certificate.name if cause.certificate else "")
        for cause in diagnosis.causes
    ]
    command = command_line(PROGRAM, "trust", *target.options, *options)
    return _Finding(path, target, diagnosis, command, tuple(changes), "", verdict)


def _options(
    diagnosis: Diagnosis, lenders: Mapping[Certificate, Path], roots: Mapping[Certificate, Path]
) -> list[str] | None:
    """Return the options of ``trust`` that take every cause away; None when a certificate for it is not at hand."""
    options: dict[tuple[str, ...], None] = {}
    for cause in diagnosis.causes:
        if cause.certificate is None:
            options["--accept-sha1",] = None
        elif cause.name == "intermediate-missing":
            options["--intermediate", str(lenders[cause.certificate])] = None
            options.update(dict.fromkeys(("--ca", str(path)) for path in roots.values()))
        elif cause.certificate in roots:
            options["--ca", str(roots[cause.certificate])] = None
        elif cause.certificate.sha256 != ACTALIS:
            return None
    return [word for option in options for word in option]


def _hint(causes: Sequence[Cause], roots: Mapping[Certificate, Path]) -> str:
    """What would help that is not at hand; nothing when another cause makes it useless."""
    found = ""
    for cause in causes:
        if cause.name == "intermediate-missing" and not cause.fixable:
            found = _(
                "check it together with another message of the same provider, which may carry that "
                "certificate"
            )
        elif cause.name == "root-unknown" or (
            cause.name == "root-untrusted" and cause.certificate not in roots
        ):
            found = _("if you have that authority's certificate from a source you trust, give it with --ca")
        elif not cause.fixable:
            return ""
    return found
