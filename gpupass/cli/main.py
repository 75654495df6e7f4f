"""The `gpupass` command: verbs are imported only when called."""

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper

import click

from gpupass import __version__
from gpupass.errors import GpupassError

VERBS = {
    "list": "inspect:list_",
    "show": "inspect:show",
    "groups": "inspect:groups",
    "slots": "slots:slots",
    "record": "inspect:record",
    "bind": "bind:bind",
    "unbind": "bind:unbind",
    "attach": "hotplug:attach",
    "detach": "hotplug:detach",
    "move": "hotplug:move",
    "recover": "recover:recover",
    "quarantine": "recover:quarantine",
    "adopt": "bind:adopt",
    "plan": "plan:plan",
    "apply": "plan:apply",
    "check": "plan:check",
    "rollback": "plan:rollback",
    "export": "export:export",
    "diff": "export:diff",
    "history": "history:history",
    "profile": "profile:profile",
    "enable": "boot:enable",
    "disable": "boot:disable",
    "cdi": "cdi:cdi",
    "host": "boot:host",
    "lab": "lab:lab",
}


class LazyVerbs(click.Group):
    """Looks a verb's module up when it is asked for, so that one verb does not pay for another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = VERBS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(import_module(f"gpupass.cli.{module}"), name)
        return command


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gpupass")
def cli() -> None:
    """Cut, hand out and take back the GPUs of a KVM host.

    \b
    Exit status of every verb:
      0 done, or nothing to do      1 failed, everything rolled back
      2 usage                       3 differences found
      4 refused, nothing changed    5 a person is needed
      6 pending: somebody has not let go yet
    """


def main() -> None:
    """Entry point. It leaves without Python's shutdown.

    libvirt's event thread may just then be in a callback; shut down under it, it never returns and keeps a
    lock that closing the connection waits for.
    """
    try:
        run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
        with suppress(ValueError):  # closed already
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            except OSError:
                status = status or 1
        os._exit(status)


def run() -> None:
    """Every foreseeable failure ends as one line, a hint and its exit status (SystemExit)."""
    from gpupass.cli.output import show_error

    _print_any_name()
    try:
        status = cli.main(prog_name="gpupass", standalone_mode=False)
    except click.exceptions.Abort:
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except GpupassError as error:
        show_error(error, as_json="--json" in sys.argv[1:])
        status = error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        status = 141
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        show_error(GpupassError(f"cannot write the output: {error.strerror}"), as_json=False)
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _print_any_name() -> None:
    """Names of files need not be text in the terminal's encoding."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
