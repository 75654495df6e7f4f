"""`gpupass plan`, `gpupass apply`, `gpupass check` and `gpupass rollback`."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path

import click
from msgspec.structs import replace

from gpupass.app.apply import apply_profile, apply_when_ready, foretell, plan_apply
from gpupass.app.consent import Consent, Patience, allowed, may_go_on, require_same, why_not
from gpupass.app.history import before, gone_since, last_apply
from gpupass.app.profile_file import load_file, load_text, read_file
from gpupass.app.reach import Reach, letting_stop
from gpupass.app.report import Came, Report, known
from gpupass.app.rounds import quiet
from gpupass.app.saved_plan import is_plan, plan_text, read_plan
from gpupass.app.session import Session
from gpupass.app.trip import foretold, require_root
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import (
    DIFFERENT,
    connect_option,
    host_option,
    json_option,
    show_finding,
    stop_option,
    tell,
)
from gpupass.cli.plan_view import NOTHING, show_differences, show_host_plan
from gpupass.cli.report import error_of, print_changes, refusal, show_reports, status_of
from gpupass.errors import GpupassError, Pending, Refused, Unasked, Usage
from gpupass.model.address import Address
from gpupass.model.host import Host
from gpupass.plan import Disruption, Finding, HostPlan
from gpupass.profiles.instead import meant
from gpupass.step import Deed
from gpupass.system import System
from gpupass.system.texts import write_text

_BOOT_PATIENCE = 60.0

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_disrupt = click.option(
    "--allow-disruption", is_flag=True, help="Even if a running domain or process loses something."
)
_reset = click.option(
    "--allow-reset", is_flag=True, help="Even if an NVIDIA GPU has to be reset for another MIG mode."
)
_adopt = click.option("--adopt", is_flag=True, help="As if every rule of FILE said take-over: true.")
_absent = click.option(
    "--absent", is_flag=True, help="The devices of FILE are the host's again: drivers as before, nothing cut."
)
_timeout = click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to wait for a guest to let go.",
)
_locks = click.option(
    "--lock-timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to wait for another gpupass that is at work on a device.",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")


@click.command()
@click.argument("file")
@click.option("--out", metavar="PLAN", help="Save the plan for `gpupass apply PLAN`.")
@stop_option
@_reset
@_adopt
@_absent
@json_option
@host_option
@connect_option
def plan(
    file: str,
    out: str | None,
    stop: tuple[str, ...],
    allow_reset: bool,
    adopt: bool,
    absent: bool,
    as_json: bool,
    host_dir: Path | None,
    connect: str,
) -> int:
    """Show what `apply FILE` would do, and whom it would disturb. Exit status 3: there is something to do."""
    system = reader_at(host_dir)
    profile = letting_stop(meant(load_file(system, file), adopt, absent), stop)
    reach = Reach(profile=profile, source=file, connect=connect)
    sight = reach.look(system)
    made = reach.plan(sight)
    if out is not None:
        saved = plan_text(made, reach)
        write_text(out, saved)
        tell(f"saved in {out}, sha256 {_digest(saved)}", err=True)
    if as_json:
        print_changes(_foretold(reach, sight, made), refusal(reach.title(made), made.refusals))
    else:
        show_host_plan(made, allow_reset=allow_reset)
    if made.refusals:
        return Refused.exit_code
    return DIFFERENT if made.to_do else 0


@click.command()
@click.argument("file", metavar="FILE|PLAN")
@stop_option
@_disrupt
@_reset
@_adopt
@_absent
@_timeout
@_locks
@_dry_run
@click.option("--devices-only", is_flag=True, help="Leave attachments out; libvirt is not asked.")
@click.option("--boot", is_flag=True, help="Do what can be done, wait for what is not there yet.")
@click.option("--wait", type=click.FloatRange(0), metavar="SECONDS", help="How long to wait for it.")
@click.option("--sha256", metavar="DIGEST", help="Only if FILE has this digest.")
@_yes
@connect_option
@json_option
def apply(
    file: str,
    stop: tuple[str, ...],
    allow_disruption: bool,
    allow_reset: bool,
    adopt: bool,
    absent: bool,
    timeout: float,
    lock_timeout: float,
    dry_run: bool,
    devices_only: bool,
    boot: bool,
    wait: float | None,
    sha256: str | None,
    yes: bool,
    connect: str,
    as_json: bool,
) -> int:
    """Make this host as the profile FILE says, or do the saved PLAN; asks first."""
    if not dry_run:
        require_root("run it with sudo; to look only: gpupass plan")
    line = f"gpupass apply {shlex.quote(file)}"
    consent = Consent(disruption=allow_disruption, reset=allow_reset, partly=boot)
    patience = Patience(seconds=timeout, for_others=lock_timeout)
    text = read_file(file)
    _require_digest(file, text, sha256)
    waits = (boot or wait is not None) and not dry_run
    if waits and not yes:
        again = (" --boot" if boot else "") + (f" --wait {wait:g}" if wait is not None else "")
        raise Usage("cannot apply: --boot and --wait ask nobody", f"{line}{again} --yes")
    with Session(System()) as session:
        if not is_plan(text):
            reach = Reach(
                profile=letting_stop(meant(load_text(session.system, file, text), adopt, absent), stop),
                source=file,
                connect=connect,
                devices_only=devices_only,
                programs=not boot,
            )
            if not waits:
                return _agree_and_apply(session, reach, consent, patience, line, yes, as_json, dry_run)
            seconds = wait if wait is not None else _BOOT_PATIENCE
            return _show_came(apply_when_ready(session, reach, consent, patience, seconds), as_json)
        if adopt or absent or stop:
            words = (*(f"--stop {name}" for name in stop), *["--adopt"] * adopt, *["--absent"] * absent)
            hint = f"gpupass plan FILE --out PLAN {' '.join(words)}"
            raise Usage("cannot read a saved plan otherwise than it is written", hint)
        if waits:
            raise Usage("cannot wait: a saved plan is for the host as it was", f"{line} --yes")
        reach, shown = read_plan(file, text)
        if reach.connect != connect:
            made_for = (
                f"cannot apply {file}: it was made for libvirt at {reach.connect}, and this is {connect}"
            )
            raise Usage(made_for, f"{line} --connect {shlex.quote(reach.connect)}")
        reach = replace(reach, devices_only=devices_only)
        return _agree_and_apply(session, reach, consent, patience, line, yes, as_json, dry_run, shown)


@click.command()
@click.argument("file")
@_adopt
@_absent
@json_option
@host_option
@connect_option
def check(file: str, adopt: bool, absent: bool, as_json: bool, host_dir: Path | None, connect: str) -> int:
    """Is this host as the profile FILE says? Exit status 0: yes; 3: no, and the differences."""
    system = reader_at(host_dir)
    profile = meant(load_file(system, file), adopt, absent)
    reach = Reach(profile=profile, source=file, connect=connect)
    sight = reach.look(system)
    made = reach.plan(sight)
    same = not made.to_do and not made.refusals and not made.waits
    if as_json:
        print_changes(_foretold(reach, sight, made))
    else:
        show_differences(made)
    return 0 if same else DIFFERENT


@click.command()
@_disrupt
@_reset
@_timeout
@_locks
@_dry_run
@_yes
@connect_option
@json_option
def rollback(
    allow_disruption: bool,
    allow_reset: bool,
    timeout: float,
    lock_timeout: float,
    dry_run: bool,
    yes: bool,
    connect: str,
    as_json: bool,
) -> int:
    """Take the last apply back: its devices become what they were before. Again: the one before it."""
    with Session(System()) as session:
        entry = last_apply(session.system)
        gone = gone_since(session.system, entry)
        source = f"rollback of {entry.source} ({entry.time})"
        reach = Reach(profile=before(entry, gone), source=source, connect=connect, takes_back=entry.id)
        if not as_json:
            tell(f"back to before: {entry.source}, applied by {entry.user} at {entry.time}", err=True)
            for address in gone:
                tell(f"passed over: {address} has left this host", err=True)
        consent = Consent(disruption=allow_disruption, reset=allow_reset)
        patience = Patience(seconds=timeout, for_others=lock_timeout)
        return _agree_and_apply(session, reach, consent, patience, "gpupass rollback", yes, as_json, dry_run)


def _foretold(reach: Reach, sight: Host, made: HostPlan) -> tuple[Report, ...]:
    """Nothing of a plan comes about where a part of it is refused."""
    would = foretold(reach, sight, made.plans)
    return tuple(replace(report, changed=report.changed and not made.refusals) for report in would)


def _require_digest(file: str, text: str, wanted: str | None) -> None:
    """All of it: profile, steps, who the devices are, what it is called."""
    if wanted is not None and wanted.lower() != (found := _digest(text)):
        other = f"cannot apply {file}: its sha256 is {found}, not {wanted}"
        raise Refused(other, f"sha256sum {shlex.quote(file)}")


def _digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()


def _agree_and_apply(
    session: Session,
    reach: Reach,
    consent: Consent,
    patience: Patience,
    line: str,
    yes: bool,
    as_json: bool,
    dry_run: bool,
    saved: HostPlan | None = None,
) -> int:
    """Show, ask, and do exactly what was shown; `line` is what to type again.

    Where nobody is asked, what is shown is seen with the devices locked and what a crash left settled.
    """
    seen: list[HostPlan] = []

    def show(made: HostPlan) -> None:
        seen.append(made)
        if not as_json:
            show_host_plan(made, refusals=False, allow_reset=consent.reset)
            for one in made.to_do:
                if not may_go_on(one, consent):
                    tell(f"left undone: {one.title}: {why_not(one, consent)}")

    on_step = quiet if as_json else _tell
    if yes and saved is None and not dry_run:
        came = apply_profile(session, reach, consent, patience, on_step=on_step, on_plan=show)
        return _show_came(came, as_json, shown=seen[0])
    made = plan_apply(session, reach)
    would = foretell(session, reach, made)
    came = Came(reports=(), plan=made, made=made, settled=would.settled if dry_run else ())
    with known(came):
        if saved is not None:
            require_same(saved, made)
        show(made)
        if not as_json:
            _warn_of_what_is_beside(would)
        plans = allowed(made, consent, reach.title(made))
        if plans and not yes and not dry_run:
            _agree(line, as_json)
    if dry_run:
        if as_json:
            would = replace(would, reports=foretold(reach, session.last, plans))
            print_changes(would.whole, warnings=would.warnings)
        return 0 if len(plans) == len(made.to_do) else Refused.exit_code
    came = apply_profile(session, reach, consent, patience, made, on_step)
    return _show_came(came, as_json, shown=made)


def _warn_of_what_is_beside(would: Came) -> None:
    for finding in (*(one for report in would.settled for one in report.warnings), *would.warnings):
        show_finding("warning: ", finding.message, finding.remedy)


def _agree(line: str, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise Unasked("cannot change this host: nobody is there to be asked", f"{line} --yes")
    if not click.confirm("Do this?", err=True):
        tell("nothing has been changed", err=True)
        raise click.Abort


def _tell(title: str, step: Deed) -> None:
    """A listener that goes away stops no change half-way."""
    if not step.hidden:
        with suppress(OSError):
            tell(f"{title.partition(':')[0]}: {step.words()} …", err=True)


def _show_came(came: Came, as_json: bool, shown: HostPlan | None = None) -> int:
    """What the plan that was `shown` has not said yet.

    At boot some devices may have been refused; otherwise nothing would have been done.
    """
    spared = (*map(_spared, came.spared), *map(_unreset, came.unreset))
    waits, refusals = came.plan.waits, (*came.plan.refusals, *spared)
    unmet = Refused.exit_code if refusals else Pending.exit_code if waits else 0
    status = status_of(came.reports) or unmet
    if as_json:
        why = error_of(came.whole) or refusal("apply all of it", refusals) or _waiting(waits)
        print_changes(
            came.whole, why, waits=waits, refused=refusals, warnings=came.warnings, exit_code=status
        )
    else:
        show_reports(*came.reports, as_json=False)
        if shown is None and not came.reports and not waits and not refusals:
            tell(NOTHING)
        for wait in waits:
            if shown is None or wait not in shown.waits:
                tell(f"waits: {wait}")
        for warning in came.warnings:
            show_finding("warning: ", warning.message, warning.remedy)
        for refused in refusals:
            show_finding("cannot: ", refused.message, refused.remedy)
    return status


def _waiting(waits: tuple[str, ...]) -> GpupassError | None:
    return (
        Pending(f"pending: {'; '.join(waits)}", "gpupass apply FILE --wait SECONDS --yes") if waits else None
    )


def _spared(disruption: Disruption) -> Finding:
    message = f"{disruption.victim} would lose {disruption.loses}"
    return Finding(message=message, remedy="--allow-disruption, when it may")


def _unreset(address: Address) -> Finding:
    message = f"{address} would be reset for another MIG mode"
    return Finding(message=message, remedy="--allow-reset, when it may")
