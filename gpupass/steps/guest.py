"""Give a function to a running domain and ask for it back; the live XML decides, no API return does."""

from typing import Any

from gpupass.errors import GpupassError, NeedsPerson, Pending
from gpupass.hotplug.domain_xml import parse_definition
from gpupass.hotplug.hostdev_xml import hostdev_xml, mdev_xml
from gpupass.model.step import AttachDevice, DetachDevice
from gpupass.system import System
from gpupass.system.libvirt import DEVICE_MISSING, NO_DOMAIN, OPERATION_INVALID, LibvirtFailure

_ASK_AGAIN = 20.0  # a request sent before the guest's ACPI is up is lost (QEMU pcihp.c): send it again
_BUSY = 6.0  # the 5 s button window of native PCIe hot-plug (QEMU pcie.c)
_LOOK_AGAIN = 1.0
_UNDO_SECONDS = 30.0

_FORBIDDEN = (3, 29, 45, 88)  # VIR_ERR_NO_SUPPORT, OPERATION_DENIED, AUTH_FAILED, ACCESS_DENIED
_PERMANENT = (
    "multifunction PCI guest address",
    "unsupported by the port device",
    "not allowed by controller",
    "hotplug is disabled",
)


def current(step: AttachDevice | DetachDevice, system: System) -> Any:
    """Does the running domain have it?"""
    xml = system.hypervisor(step.connect).live_xml(step.uuid)
    if xml is None:
        return False
    try:
        hostdevs = parse_definition(xml).hostdevs
    except ValueError as error:
        raise GpupassError(f"cannot read the live XML of {step.domain}: {error}") from None
    if step.mdev is not None:
        return any(hostdev.mdev == step.mdev for hostdev in hostdevs)
    return any(hostdev.address == step.address for hostdev in hostdevs)


def _xml(step: AttachDevice) -> str:
    if step.mdev is not None:
        return mdev_xml(step.mdev, step.alias)
    return hostdev_xml(step.address, step.alias, step.exposed)


def _what(step: AttachDevice | DetachDevice) -> str:
    return f"the mediated device {step.mdev}" if step.mdev else step.address


def attach(step: AttachDevice, system: System) -> None:
    """GpupassError when the domain's live XML does not show it afterwards, whatever the call returned."""
    if current(step, system):
        return
    hypervisor = system.hypervisor(step.connect)
    try:
        hypervisor.attach(step.uuid, _xml(step))
        failure = None
    except LibvirtFailure as error:
        failure = error
    if not current(step, system):
        why = failure.message if failure else "libvirt reported success but its live XML does not show it"
        raise GpupassError(f"cannot attach {_what(step)} to {step.domain}: {why}")


def detach(step: DetachDevice, system: System, deadline: float) -> None:
    """Ask, wait, ask again; Pending at the deadline, GpupassError when it can never work."""
    hypervisor = system.hypervisor(step.connect)
    ask_at = system.monotonic()
    trouble = ""
    while True:
        seen = hypervisor.events()
        now = system.monotonic()
        try:
            if not current(step, system):
                return
            if now >= ask_at:
                ask_at = now + _BUSY  # where asking fails
                wait, trouble = _ask(step, system)
                ask_at = now + wait
                if not current(step, system):
                    return
        except LibvirtFailure as failure:  # libvirt is away; the guest may have been asked already
            trouble = f" ({failure.message})"
        if now >= deadline:
            raise Pending(
                f"{step.domain} has not let go of {_what(step)} yet{trouble}",
                "gpupass recover --wait, or shut the guest down: nothing else can force it",
            )
        hypervisor.wait_event(seen, min(_LOOK_AGAIN, max(0.05, deadline - now)))


def _ask(step: DetachDevice, system: System) -> tuple[float, str]:
    """Send the request; how many seconds until it may be sent again, and what was wrong with it."""
    try:
        system.hypervisor(step.connect).detach(step.uuid, step.alias)
    except LibvirtFailure as error:
        if error.code in (NO_DOMAIN, DEVICE_MISSING, OPERATION_INVALID) and not current(step, system):
            return 0.0, ""
        if error.code in _FORBIDDEN:
            raise GpupassError(f"cannot detach {_what(step)} from {step.domain}: {error.message}") from None
        if any(text in error.message for text in _PERMANENT):
            raise GpupassError(
                f"cannot detach {_what(step)} from {step.domain}: {error.message}",
                f"only shutting {step.domain} down frees it",
            ) from None
        if "in the process of unplug" not in error.message:
            return _BUSY, f" ({error.message})"
    return _ASK_AGAIN, ""


def undo_attach(step: AttachDevice, before: Any, system: System) -> None:
    if before or not current(step, system):
        return
    back = DetachDevice(
        address=step.address,
        mdev=step.mdev,
        domain=step.domain,
        uuid=step.uuid,
        alias=step.alias,
        exposed=step.exposed,
        connect=step.connect,
    )
    try:
        detach(back, system, system.monotonic() + _UNDO_SECONDS)
    except Pending as pending:
        raise NeedsPerson(f"cannot take {_what(step)} back: {pending.message}", pending.hint) from None


def undo_detach(step: DetachDevice, before: Any, system: System) -> None:
    if not before or current(step, system):
        return
    if system.hypervisor(step.connect).live_xml(step.uuid) is None:  # it stopped: it cannot have it back
        return
    attach(
        AttachDevice(
            address=step.address,
            mdev=step.mdev,
            domain=step.domain,
            uuid=step.uuid,
            alias=step.alias,
            exposed=step.exposed,
            connect=step.connect,
        ),
        system,
    )
