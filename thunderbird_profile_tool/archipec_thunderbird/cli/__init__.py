"""The command line: stdout is data, stderr is talk. One module a command, imported when it is asked for."""

from __future__ import annotations

import sys

import click

from archipec.errors import BUG, DONE, ArchipecError, Interrupted
from archipec.language import N_, _, choose
from archipec.terminal import Commands, language_option, say_error

__all__ = ["PROGRAM", "main"]

PROGRAM = "thunderbird-profile-tool"

_COMMANDS = {
    "profiles": N_("Show the profiles of every Thunderbird on this machine."),
    "status": N_(
        "Show what Thunderbird trusts for certified mail; changes nothing, and works while Thunderbird runs."
    ),
    "check": N_(
        "Say why Thunderbird does or does not trust the seal of a message, and what to run, if anything helps."
    ),
    "trust": N_(
        "Make Thunderbird trust the seals of certified mail: sets what is missing, and nothing else."
    ),
    "undo": N_("Put back exactly what was in a profile before this program changed it, every time it did."),
    "accounts": N_("Show what the accounts on PEC providers' servers do to the mail there."),
    "add-archive": N_(
        "Copy an MBOX archive under Local Folders, where Thunderbird shows it at its next start."
    ),
}
"""Every command, and the sentence that its help begins with."""


@click.group(
    cls=Commands,
    package=__name__,
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@language_option
@click.option("-v", "--verbose", is_flag=True, help="Show where a bug comes from.")
@click.version_option(package_name="archipec", prog_name=PROGRAM)
def _cli(*, verbose: bool) -> None:
    """Make Thunderbird trust the seals of certified mail (PEC), and change only what is wrong.

    \b
    Why is this seal not trusted? It prints the command that mends it, if there is one:
      thunderbird-profile-tool check message.eml
    What does Thunderbird delete from the server?
      thunderbird-profile-tool accounts
    """


def main() -> None:
    """Run the command line and exit with the code its outcome means."""
    choose()
    try:
        code = _cli.main(standalone_mode=False) or DONE
    except click.exceptions.Abort:
        say_error(Interrupted(_("interrupted")))
        code = Interrupted.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ArchipecError as error:
        say_error(error)
        code = error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; the rest of it has nowhere to go.
        sys.stderr.close()
        code = DONE
    except Exception as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        click.echo(_("bug: {what}").format(what=f"{type(error).__name__}: {error}"), err=True)
        click.echo(_("hint: {hint}").format(hint=_("run again with -v and report what it shows")), err=True)
        code = BUG
    sys.exit(code)
