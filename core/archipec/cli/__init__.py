"""The command line: stdout is data, stderr is talk. One module for each command, imported when it is asked for."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from archipec import __version__
from archipec.cli.logs import end_logging, start_logging
from archipec.errors import BUG, DONE, ArchipecError, ConfigError, Interrupted, exit_code
from archipec.language import N_, _, choose
from archipec.terminal import JOURNAL, Commands, language_option, say_error

__all__ = ["Settings", "main"]

_COMMANDS = {
    "archive": N_(
        "Bring new messages into the archives: every byte, every message once, nothing changed at the source."
    ),
    "demo": N_("Make a sample mailbox of sealed messages, archive it to DIR, verify it, show what it holds."),
    "forget": N_("End what is no more in `status`: a pipeline, a mailbox, an archive."),
    "get": N_(
        "Get messages out: the exact bytes that were received, proven by their SHA-256; or their attachments."
    ),
    "index": N_(
        "Make messages searchable that are not yet: those of --no-index runs, and all of an index that was lost."
    ),
    "init": N_("Ask for a mailbox, try the login, show what it holds, and write archipec.toml."),
    "inspect": N_(
        "Say what a PEC message is: kind, certification data, seal, and why when the seal is not valid."
    ),
    "invoices": N_(
        "List electronic invoices (FatturaPA), and what became of those that were sent, by the notices of SdI."
    ),
    "plugins": N_("What sources, sinks and post-steps are installed."),
    "providers": N_("List what is known of the PEC providers: servers, logins, folders."),
    "prune": N_("Free the mailbox of what is proven to be archived."),
    "receipts": N_(
        "Say what became of every message sent: accepted, delivered to whom, failed, or still without a receipt."
    ),
    "report": N_(
        "Say what was archived, what became of what was sent and what needs attention: as a page, a PDF, a table, JSON."
    ),
    "runs": N_("Say what was run when, for how long, and with what outcome; the latest first."),
    "schedule": N_("Have this computer archive by itself; without an option, say whether it does."),
    "search": N_(
        "Find messages by words in their texts, attachments, names and addresses; the newest first."
    ),
    "settle": N_("Deposit what waits in outboxes and ask conservation providers for their reports."),
    "show": N_(
        "Show a stored message: its text and attachments, its seal and why, its receipts, and the archives that hold it."
    ),
    "status": N_(
        "Say how each pipeline's last try ended, what its archives hold, what waits and what is missing."
    ),
    "todo": N_(
        "List everything that needs a person, over all pipelines, with the command that deals with it."
    ),
    "verify": N_("Read every stored copy back and compare it, byte for byte, with what is recorded."),
    "view": N_(
        "Show a page to search and read what was archived: on this machine, for you alone, until you end it."
    ),
}
"""Every command, and the sentence that its help begins with."""


class Settings:
    """What the options before the command say."""

    def __init__(
        self, config: Path | None, state: Path | None, *, verbose: bool, quiet: bool = False
    ) -> None:
        self._config = config
        self._state = state
        self.verbose = verbose
        self.quiet = quiet

    @property
    def given(self) -> tuple[str, ...]:
        """The options that were given and another command needs too, to mean the same."""
        places = {"--config": self._config, "--state": self._state}
        return tuple(
            word for name, path in places.items() if path is not None for word in (name, str(path.absolute()))
        )

    @property
    def config(self) -> Path:
        """The configuration file."""
        from archipec.config.pipeline import default_config_path

        return self._config or default_config_path()

    @property
    def state(self) -> Path:
        """The state folder, made if it is not there."""
        from archipec.config.pipeline import default_state_path
        from archipec.errors import from_os_error

        path = self._state or default_state_path()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, path) from error
        return path


@click.group(
    cls=Commands,
    package=__name__,
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    envvar="ARCHIPEC_CONFIG",
    help="Configuration file (default: archipec.toml in your configuration folder).",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="PATH",
    envvar="ARCHIPEC_STATE",
    help="Folder of the ledger (default: your state folder).",
)
@language_option
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr; show where a bug comes from.")
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="Say nothing of what went well: for cron, which mails all that is said.",
)
@click.option(
    "--log-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Also append to this file what is run, how it ends, and every warning and error.",
)
@click.version_option(__version__, prog_name="archipec")
@click.pass_context
def _cli(
    ctx: click.Context,
    config: Path | None,
    state: Path | None,
    log_file: Path | None,
    *,
    verbose: bool,
    quiet: bool,
) -> None:
    """Archive Italian certified mail (PEC): every byte as sealed, every copy read back.

    \b
    Try it, no account needed:
      archipec demo
    Archive a mailbox:
      archipec archive --from imaps://me@pec.example.it@imaps.example.it --to maildir:PEC
    """
    start_logging(verbose=verbose, quiet=quiet, file=log_file)
    # Its options stay out: someone may have typed a password.
    JOURNAL.info("archipec %s: %s", __version__, ctx.invoked_subcommand)
    # But for the one that writes it.
    if config is not None and ctx.invoked_subcommand != "init" and not config.exists():
        raise ConfigError(
            _("there is no configuration at {path}").format(path=config),
            hint=_("check --config, or ARCHIPEC_CONFIG where it isn't given"),
        )
    ctx.obj = Settings(config, state, verbose=verbose, quiet=quiet)


def main() -> None:
    """Run the command line and exit with the code its outcome means (`archipec.errors`)."""
    from archipec.cli.output import failure, take_over
    from archipec.cli.terminal import end_process, interrupt_on_signals
    from archipec.supervision import any_left_behind

    choose()
    take_over()
    interrupt_on_signals(say_error)
    code = _run()
    if (lost := failure()) is not None:
        say_error(lost)
        code = exit_code((code, lost.exit_code))
    end_logging(code)
    if any_left_behind():
        end_process(code)
    sys.exit(code)


def _run() -> int:
    """Run the command; what it raises becomes an exit code."""
    from archipec.supervision import Silent, set_from_environment

    try:
        set_from_environment()
        code: int | None = _cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        say_error(Interrupted(_("interrupted")))
        return Interrupted.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ArchipecError, Silent) as caught:
        error_said = caught.error if isinstance(caught, Silent) else caught
        say_error(error_said)
        return error_said.exit_code
    except BaseException as error:  # noqa: BLE001 - also a SystemExit: none of ours comes here
        _say_bug(error)
        return BUG
    return code or DONE


def _say_bug(error: BaseException) -> None:
    JOURNAL.error(_("this is a bug in archipec"), exc_info=error)
    if "-v" in sys.argv or "--verbose" in sys.argv:
        logging.getLogger("archipec").error(_("this is a bug in archipec"), exc_info=error)
        return
    click.echo(_("bug: {what}").format(what=f"{type(error).__name__}: {error}"), err=True)
    click.echo(_("hint: {hint}").format(hint=_("run again with -v and report what it shows")), err=True)
