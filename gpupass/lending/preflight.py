"""Everything that would make an attach fail or a guest unhappy, said before anything is touched; pure."""

from collections.abc import Iterator

from gpupass.devices.verdict import silence
from gpupass.model.domain import Domain, DomainState, Hostdev, Port, Written
from gpupass.model.host import Bar, Device, Host
from gpupass.model.mark import Quarantine
from gpupass.model.mdev import Mdev
from gpupass.model.remedies import remedy
from gpupass.model.reset_known import TROUBLES
from gpupass.model.user import User, UserKind
from gpupass.model.vendor import Vendor
from gpupass.plan import Finding

_IGD = "0000:00:02.0"  # where every one is
_GIB = 1 << 30
_KIB = 1 << 10
KEPT_BELOW = 64 << 20  # bytes for 32-bit BARs behind a prepared port: the most that a GPU has (GB200)


def attach_findings(
    host: Host,
    device: Device,
    members: tuple[Device, ...],
    domain: Domain,
    leaving: Domain | None,
) -> tuple[Finding, ...]:
    """`device` is what the guest will see, `members` its whole IOMMU group's endpoints.

    `leaving` is the domain that it is taken from just before.
    """
    return (
        *_readiness(domain),
        *_claims(members, domain, leaving),
        *cleanliness(host, members),
        *_ports(device, domain),
        *memory_lock(domain, len(members)),
        *host_memory(host, domain),
        *_numa(device, domain),
        *(finding for member in members for finding in trouble(member)),
        *_integrated(device),
        *_losses(domain),
    )


def mdev_attach_findings(
    host: Host, mdev: Mdev, domain: Domain, leaving: Domain | None
) -> tuple[Finding, ...]:
    """The same for a mediated device, whose BARs nobody can tell beforehand."""
    return (
        *_readiness(domain),
        *_elsewhere(mdev.uuid, mdev.users, domain, leaving),
        *port_findings(domain),
        *memory_lock(domain, 1),
        *host_memory(host, domain),
        *_losses(domain),
    )


_AWAKE = {
    DomainState.CRASHED: "its guest is lost: virsh destroy {name}; then: virsh start {name}",
    DomainState.PMSUSPENDED: "virsh dompmwakeup {name}",
    DomainState.SHUTTING_DOWN: "wait until it is off; then: virsh start {name}",
    DomainState.OTHER: "see what it does: virsh domstate {name} --reason",
}


def _readiness(domain: Domain) -> Iterator[Finding]:
    if not domain.active:
        yield Finding(
            message=f"{domain.name} is not running ({domain.state})",
            remedy=_AWAKE.get(domain.state, "virsh start {name}").format(name=domain.name),
        )
    elif domain.state is DomainState.PAUSED:
        yield Finding(
            message=f"{domain.name} is paused: its guest sees the device only when it runs again",
            remedy=f"virsh resume {domain.name}",
            fatal=False,
        )
    if domain.job is not None:
        yield Finding(
            message=f"{domain.name} is busy with {domain.job} (migration, save or snapshot)",
            remedy=f"virsh domjobinfo {domain.name}",
        )


def _elsewhere(
    name: str, users: tuple[User, ...], domain: Domain, leaving: Domain | None
) -> Iterator[Finding]:
    parties = {party.name for party in (domain, leaving) if party is not None}
    for user in users:
        if user.kind is UserKind.DOMAIN and user.name not in parties:
            yield Finding(
                message=f"{name} is attached to {user.name}",
                remedy=f"gpupass move {name} --to {domain.name}",
            )


def _claims(members: tuple[Device, ...], domain: Domain, leaving: Domain | None) -> Iterator[Finding]:
    for member in members:
        yield from _elsewhere(member.address, member.users, domain, leaving)
        for user in member.users:
            if user.kind is UserKind.DOMAIN_CONFIG and user.name != domain.name:
                yield Finding(
                    message=f"{member.address} is in the persistent definition of {user.name}, "
                    f"which cannot start while {domain.name} has it",
                    remedy=remedy(user, member.address),
                    fatal=False,
                )


def cleanliness(host: Host, members: tuple[Device, ...]) -> Iterator[Finding]:
    for member in members:
        quarantine = host.mark(Quarantine, member.address)
        if quarantine is not None and member.on_vfio:  # otherwise binding it is refused already
            yield Finding(
                message=f"{member.address} is quarantined: {quarantine.why}",
                remedy=f"gpupass quarantine clear {member.address}",
            )
        elif not member.facts.responds and member.on_vfio:
            yield Finding(
                message=silence(member),
                remedy="power the device or the host off and on",
            )


def has_ports(domain: Domain) -> bool:
    """i440fx plugs into its root bus."""
    return "q35" in domain.machine or "virt" in domain.machine


def free_ports(domain: Domain) -> tuple[Port, ...]:
    return tuple(port for port in domain.ports if port.hotplug and not port.occupied)


def port_findings(domain: Domain) -> Iterator[Finding]:
    if has_ports(domain) and not free_ports(domain):
        off = any(not port.hotplug and not port.occupied for port in domain.ports)
        yield Finding(
            message=f"{domain.name} has no free hot-plug port"
            + (": the empty ones have hotplug='off'" if off else ""),
            remedy=f"gpupass domain prepare {domain.name} --slots 1; it has the port when it is started anew",
        )


def _ports(device: Device, domain: Domain) -> Iterator[Finding]:
    if not has_ports(domain):
        return
    if not device.facts.express:
        if not domain.conventional_bus:
            yield Finding(
                message=f"{device.address} is conventional PCI, {domain.name} has PCIe ports only",
                remedy=f"virsh edit {domain.name}: add <controller type='pci' model='pcie-to-pci-bridge'/>, "
                "then restart it",
            )
        return
    free = free_ports(domain)
    if not free:
        yield from port_findings(domain)
        return
    port = free[0]  # libvirt takes the first
    needs = (
        ("memory", port.memory_window, _room(device, prefetchable=False)),
        ("prefetchable memory", port.prefetchable_window, _room(device, prefetchable=True)),
    )
    if port.prefetchable_window == 0 and port.memory_window == 0:
        yield Finding(
            message=f"{domain.name} has not set its PCI ports up yet: it is still starting",
            remedy="wait until its firmware is through",
            fatal=False,
        )
        return
    for kind, window, need in needs:
        if window is not None and need > window:
            yield Finding(
                message=f"{device.address} needs {size_text(need)} of {kind}, "
                f"{domain.name}'s port {port.index} has {size_text(window)}",
                remedy=_larger(domain, kind, need),
            )


def _larger(domain: Domain, kind: str, need: int) -> str:
    if kind == "memory" and need > KEPT_BELOW:
        return f"virsh edit {domain.name}: memReserve='{need >> 10}' in <target> of the port; start it anew"
    size = f" --largest-bar {need}" if kind != "memory" else ""
    return f"gpupass domain prepare {domain.name} --slots 1{size}; then start it anew"


def unread_windows(domain: Domain) -> Iterator[Finding]:
    """What a definition asks for is no promise: only a guest's firmware tells what it has left."""
    if not domain.active and has_ports(domain):
        yield Finding(
            message=f"{domain.name} is off: what its firmware leaves behind its ports is seen when it runs",
            remedy=f"virsh start {domain.name}; then the same again",
            fatal=False,
        )


def _room(device: Device, prefetchable: bool) -> int:
    """Bytes the device's BARs take; prefetchable ones count only when they are 64 bit."""
    return sum(_rounded(bar) for bar in device.facts.bars if not bar.is_io and _wide(bar) is prefetchable)


def _wide(bar: Bar) -> bool:
    return bar.prefetchable and bar.is_64bit


def _rounded(bar: Bar) -> int:
    return max(bar.size, 4096)


def memory_lock(domain: Domain, more: int) -> Iterator[Finding]:
    """libvirt lets a VFIO guest lock its memory plus 1 GiB, with a vIOMMU its memory once for each device,
    unless hard_limit says less (qemu_domain.c, qemuDomainGetMemLockLimitBytes)."""
    times = len(domain.live) + more if domain.viommu else 1
    need = domain.memory * times + _GIB // _KIB
    if domain.hard_limit is not None and domain.hard_limit < need:
        each = f" ({times} devices behind a vIOMMU)" if times > 1 else ""
        yield Finding(
            message=f"{domain.name} may lock {size_text(domain.hard_limit * _KIB)} (memtune hard_limit), "
            f"VFIO needs {size_text(need * _KIB)}{each}",
            remedy=f"virsh memtune {domain.name} --hard-limit {need} --live --config",
        )


def trouble(device: Device) -> Iterator[Finding]:
    """A GPU that is known for it; a reset method that cures it is the first that the kernel takes."""
    known = TROUBLES.get((device.vendor, device.device))
    if known is not None and device.physfn is None and device.facts.reset_methods[:1] != (known.cured,):
        yield Finding(
            message=f"{device.address} ({known.family}) {known.what}", remedy=known.remedy, fatal=False
        )


def _integrated(device: Device) -> Iterator[Finding]:
    """QEMU gives an OpRegion to what is there when it starts only (hw/vfio/igd.c, "hotplugged device")."""
    if device.vendor == Vendor.INTEL and device.class_code >> 16 == 0x03 and device.address == _IGD:
        yield Finding(
            message=f"{device.address} is the processor's own GPU: plugged into a running guest it has no "
            "OpRegion, so its displays stay dark there",
            remedy="use it for computing only, or write it into the definition of a guest that is shut down",
            fatal=False,
        )


def _losses(domain: Domain) -> Iterator[Finding]:
    """The first device from the host takes it from a domain (qemu_migration.c, qemuMigrationSrcIsAllowed)."""
    if not domain.live:
        yield Finding(
            message=f"while it has the device {domain.name} can be neither saved, live-migrated nor "
            "snapshotted with its memory",
            remedy="take the device back first: gpupass detach",
            fatal=False,
        )


def host_memory(host: Host, domain: Domain) -> Iterator[Finding]:
    """The first VFIO device pins all of the guest's memory at once."""
    if domain.live or host.available_memory is None:
        return
    missing = max(0, domain.memory - (domain.resident or 0)) * _KIB
    if missing > host.available_memory:
        yield Finding(
            message=f"{domain.name} would pin {size_text(missing)} more, "
            f"the host has {size_text(host.available_memory)} available",
            remedy="free memory on the host, or give the guest less",
        )


def _numa(device: Device, domain: Domain) -> Iterator[Finding]:
    node = device.facts.numa_node
    if node is not None and domain.numa_nodes and node not in domain.numa_nodes:
        yield Finding(
            message=f"{device.address} is on NUMA node {node}, {domain.name}'s memory is elsewhere "
            f"(node {', '.join(map(str, domain.numa_nodes))}): it works, slower",
            remedy="choose a device of the same node, or change <numatune>",
            fatal=False,
        )


def unplug_obstacles(hostdev: Hostdev, domain: Domain) -> Iterator[Finding]:
    """What makes a guest slot impossible to unplug live (libvirt qemu_hotplug.c)."""
    remedy = f"only shutting {domain.name} down frees it: virsh shutdown {domain.name}"
    name = hostdev.mdev or hostdev.address
    if hostdev.written is Written.NVME_DISK:
        yield Finding(
            message=f"{name} is the disk {hostdev.target} of {domain.name} (<disk type='nvme'>)",
            remedy=f"virsh detach-disk {domain.name} {hostdev.target} --live; or {remedy}",
        )
        return
    if hostdev.written is Written.QEMU_ARGUMENT:
        yield Finding(
            message=f"{name} is in the <qemu:commandline> of {domain.name}, which libvirt cannot unplug",
            remedy=remedy,
        )
        return
    if hostdev.ramfb:
        yield Finding(
            message=f"{name} has ramfb in {domain.name}: QEMU never unplugs it (vfio-pci-nohotplug)",
            remedy=remedy,
        )
    if hostdev.guest is None:
        return
    bus, slot, function = hostdev.guest.split(":")[1], *hostdev.guest.split(":")[2].split(".")
    shared = any(
        other.guest is not None
        and other.guest != hostdev.guest
        and other.guest.rpartition(".")[0] == hostdev.guest.rpartition(".")[0]
        for other in domain.live
    )
    if function != "0" or hostdev.multifunction or shared:
        yield Finding(
            message=f"{name} is function {function} of the multifunction slot {bus}:{slot} "
            f"in {domain.name}: libvirt unplugs whole slots only",
            remedy=remedy,
        )
    port = next((port for port in domain.ports if port.index == int(bus, 16)), None)
    if port is not None and not port.hotplug:
        yield Finding(message=f"{name} sits in a port of {domain.name} with hotplug='off'", remedy=remedy)


def size_text(size: int) -> str:
    """Bytes for people: 16 MiB, 1.5 GiB."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.4g} {unit}"
