"""What a name means, and what a change of that is about: looked at before any plan."""

from functools import partial

from gpupass.model.address import PCI_DEVICES, Address, parse_address, same_slot, sysfs
from gpupass.model.host import Host
from gpupass.model.slot import Slot
from gpupass.observe import observe
from gpupass.observe.pci import read_group
from gpupass.planner.find import Applies, find, find_slot
from gpupass.store import store_of
from gpupass.store.applies import read_applies
from gpupass.system import Reader, System


def look_around(
    system: Reader,
    group: tuple[Address, ...],
    connect: str | None,
    windows: tuple[str, ...] = (),
    roms: tuple[str, ...] = (),
    settings: bool = False,
) -> Host:
    """The one full look of a change of these devices; `windows` are the domains that are to get something."""
    return observe(
        system,
        around=group,
        detail=lambda bare: with_bridges_above(bare, group),
        connect=connect,
        windows=windows,
        described=False,
        roms=roms,
        settings=settings,
    )


def with_bridges_above(host: Host, addresses: tuple[Address, ...]) -> set[Address]:
    """What a plan for one group asks about: its members, their VFs, and the ports they hang from."""
    wanted = {bus.address for bus in host.mdev_buses if bus.address in addresses}
    todo = [*addresses, *(device.address for device in host.devices if device.physfn in addresses)]
    while todo:
        device = host.device(todo.pop())
        if device is not None and device.address not in wanted:
            wanted.add(device.address)
            todo += [device.parent] if device.parent else []
    return wanted


def group_addresses(system: Reader, device: str) -> tuple[Address, ...]:
    """The device first, then the rest of its group; an address needs no look for that."""
    address = parse_address(device)
    group = read_group(system, address) if address is not None else ()
    if group:
        return group
    host = observe(system, connect=None, described=False, processes=False, essentials=False, cuts=False)
    return group_of(host, find(host, device, _applies_of(system)).address)


def find_slot_named(system: Reader, text: str) -> tuple[tuple[Address, ...], Slot | None]:
    """The group of its device, and the slot where only a look can tell which it is."""
    address = parse_address(text)
    group = read_group(system, address) if address is not None else ()
    if group:
        return group, None
    host = observe(system, connect=None, described=False, processes=False, essentials=False)
    slot = find_slot(host, text, _applies_of(system))
    return group_of(host, slot.device), slot


def _applies_of(system: Reader) -> Applies:
    """A record does not keep them."""
    return partial(read_applies, store_of(system)) if isinstance(system, System) else tuple


def functions_of_card(system: Reader, address: Address) -> tuple[Address, ...]:
    """The others in its slot; a virtual function's neighbours are no functions of one card."""
    if system.link(sysfs(address, "physfn")) is not None:
        return ()
    names = (Address(name) for name in system.names(PCI_DEVICES) if same_slot(Address(name), address))
    return tuple(one for one in names if one != address and system.link(sysfs(one, "physfn")) is None)


def group_of(host: Host, address: Address) -> tuple[Address, ...]:
    carrier = host.carrier(address)
    group = host.group_of(carrier) if carrier is not None else ()
    return (address, *(member.address for member in group if member.address != address))
