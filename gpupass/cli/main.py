"""The `gpupass` command: verbs are imported only when called."""

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING

import click

from gpupass import __version__
from gpupass.errors import GpupassError, Interrupted, Unforeseen, Usage

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERBS = {  # where each is, and what its help begins with: to list them imports none
    "list": ("inspect:list_", "List GPUs and accelerators, their drivers and who uses them."),
    "show": ("inspect:show", "Show everything about one DEVICE and whether its group can be given away."),
    "groups": ("inspect:groups", "Say of each IOMMU group whether it can be given to a guest, and why not."),
    "slots": (
        "slots:slots",
        "List what a domain or a container can be given: functions, VFs, vGPUs, mediated devices, "
        "MIG instances.",
    ),
    "record": (
        "inspect:record",
        "Store this host in DIR: its sysfs tree, NVML answers and domain XML, without secrets.",
    ),
    "bind": ("bind:bind", "Move DEVICE and its whole IOMMU group to vfio-pci, ready for a guest."),
    "unbind": ("bind:unbind", "Give DEVICE and its IOMMU group back to the drivers they had before."),
    "attach": (
        "hotplug:attach",
        "Hand each DEVICE to the running DOMAIN: bind its group, reset it, plug it in.",
    ),
    "detach": (
        "hotplug:detach",
        "Ask DOMAIN for DEVICE; done when the guest has let go and a reset is verified.",
    ),
    "move": ("hotplug:move", "Take DEVICE from the domain that has it and hand it to another."),
    "promises": ("promises:promises", "List what domains are promised, and how that stands."),
    "listen": (
        "promises:listen",
        "Give domains what they are promised when they start, and take it back when they stop.",
    ),
    "recover": (
        "recover:recover",
        "Finish or take back what a crash, a reboot or an unwilling guest left open.",
    ),
    "quarantine": ("recover:quarantine", "Devices that nobody gets until a person says so."),
    "adopt": (
        "bind:adopt",
        "Treat as gpupass's own what others have bound, made or attached: DEVICE, its VFs, its attachments.",
    ),
    "plan": ("plan:plan", "Show what `apply FILE` would do, and whom it would disturb."),
    "apply": ("plan:apply", "Make this host as the profile FILE says, or do the saved PLAN; asks first."),
    "check": (
        "plan:check",
        "Is this host as the profile FILE says? Exit status 0: yes; 3: no, and the differences.",
    ),
    "rollback": ("plan:rollback", "Take the last apply back: its devices become what they were before."),
    "export": (
        "export:export",
        "Print a profile of this host as it is; `gpupass export | gpupass plan -` has nothing to do.",
    ),
    "diff": ("export:diff", "What differs between two profiles, whatever the order of their rules."),
    "history": ("history:history", "List applies and single changes, the newest last."),
    "profile": ("profile:profile", "The YAML files that say how the GPUs of a host are used."),
    "enable": ("boot:enable", "Have every boot apply the profile FILE, before libvirt starts its domains."),
    "disable": ("boot:disable", "No profile at boot any more; the devices stay as they are now."),
    "cdi": (
        "cdi:cdi",
        "Tell podman and docker what they can have: /etc/cdi/gpupass.yaml, refreshed by every apply.",
    ),
    "doctor": (
        "doctor:doctor",
        "What keeps this host from giving GPUs away, and what to type about it.",
    ),
    "domain": ("domain:domain", "What a domain must have to be given devices while it runs."),
    "host": ("boot:host", "Settings of this host."),
    "schema": (
        "schema:schema",
        "Print the JSON Schema of what VERB prints with --json; without VERB: which verbs have one.",
    ),
    "lab": ("lab:lab", "An emulated GPU host for trying things out."),
}


class LazyVerbs(click.Group):
    """Looks a verb's module up when it is called: neither another verb nor a list of all pays for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        if ctx.resilient_parsing:  # only a shell asks, for what can be typed next
            from gpupass.cli.outline import verb

            return verb(cmd_name)
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"gpupass.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        room = formatter.width - 6 - max(map(len, VERBS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _listed(name).get_short_help_str(room)) for name in VERBS])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        verbs = [
            CompletionItem(name, help=_listed(name).get_short_help_str())
            for name in VERBS
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]


def _listed(name: str) -> click.Command:
    """As much of a verb as a list of all shows."""
    return click.Command(name, help=VERBS[name][1])


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gpupass")
def cli() -> None:
    """Cut, hand out and take back the GPUs of a KVM host.

    \b
    Exit status of every verb:
      0 done, or nothing to do      1 failed, everything rolled back
      2 usage                       3 differences found
      4 refused, nothing changed    5 a person is needed
      6 pending: somebody has not let go yet   130 interrupted, everything rolled back
      70 a fault of gpupass itself
    """


def main() -> None:
    """Entry point. It leaves without Python's shutdown.

    libvirt's event thread may just then be in a callback; shut down under it, it never returns and keeps a
    lock that closing the connection waits for.
    """
    if os.geteuid() == 0:
        from gpupass.system.environment import only_ours

        only_ours()
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
    _print_any_name()
    as_json = "--json" in sys.argv[1:]
    try:
        status = cli.main(prog_name="gpupass", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        status = 130
        if as_json:
            _show(Interrupted("interrupted"), as_json)
    except click.ClickException as error:
        _show(Usage(error.format_message(), "gpupass --help"), as_json) if as_json else _show_usage(error)
        status = error.exit_code
    except GpupassError as error:
        _show(error, as_json)
        status = error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        status = 141
    except OSError as error:
        full = error.errno == errno.ENOSPC
        why = GpupassError(f"cannot write the output: {error.strerror}") if full else Unforeseen(error)
        _show(why, as_json=as_json and not full)
        status = why.exit_code
    except Exception as bug:
        _show(Unforeseen(bug), as_json)
        status = Unforeseen.exit_code
    sys.exit(status if isinstance(status, int) else 0)


def _show_usage(error: click.ClickException) -> None:
    from gpupass.cli.printable import printable_lines

    text = StringIO()
    error.show(file=text)
    click.echo(printable_lines(text.getvalue()), nl=False, err=True)


def _show(error: GpupassError, as_json: bool) -> None:
    from gpupass.cli.output import show_error

    if not as_json:
        show_error(error)
        return
    from gpupass.cli.failed import print_failure

    print_failure(error, sys.argv[1:])


def _print_any_name() -> None:
    """Names of files need not be text in the terminal's encoding."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
