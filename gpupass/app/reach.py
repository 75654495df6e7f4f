"""What a profile wants, as data: the devices that it means, what is seen for it, and its plans."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from msgspec.structs import replace

from gpupass.app.intents import OfHost
from gpupass.methods import alike, slot_at
from gpupass.model.address import Address, root_of
from gpupass.model.apply import Apply
from gpupass.model.domain import QEMU
from gpupass.model.host import Base, Device, Host, vf_address
from gpupass.model.mark import Setting
from gpupass.model.profile import NVIDIA_CTK, Profile
from gpupass.observe import observe
from gpupass.plan import HostPlan, Plan
from gpupass.planner.company import changed_with
from gpupass.planner.export import export
from gpupass.planner.find import require_libvirt
from gpupass.planner.profile import plan_profile
from gpupass.planner.selection import attachments, candidates, choose
from gpupass.planner.standing import Chosen
from gpupass.profiles import write_profile
from gpupass.store import store_of
from gpupass.store.applies import new_id
from gpupass.store.marks import read_marks_of
from gpupass.system import Reader, System


class Reach(OfHost, frozen=True, kw_only=True):
    """This host is as the profile says."""

    profile: Profile
    source: str = "-"
    connect: str = QEMU
    devices_only: bool = False  # no attachments: libvirt may not run yet
    programs: bool = True  # of others are asked for, where the profile wants them; at boot a missing one is
    takes_back: str = ""  # the apply that this one rolls back
    only: str = ""  # the one plan of this title: what was half done goes on

    rounds: ClassVar[int] = 4  # the driver, MIG mode and functions, GPU instances, the vGPUs on them

    @property
    def action(self) -> str:
        return "rollback" if self.takes_back else "apply"

    def look(self, system: Reader) -> Host:
        """The devices that the profile could mean, all that hangs together with them, and its domains."""
        if isinstance(system, System):
            store_of(system).require_readable()  # without the marks all would look like somebody else's
        wanted = () if self.devices_only else self.profile.attachments
        host = observe(
            system,
            detail=self._worth_a_look,
            connect=self.libvirt,
            windows={attachment.domain for attachment in wanted},
            described=False,
            settings=any(attachment.options.set_it for attachment in wanted) or _has_set(system),
            roms={rom for attachment in wanted if (rom := attachment.options.rom_file) is not None},
            programs=self.programs and self.profile.containers == NVIDIA_CTK,
        )
        if wanted:
            require_libvirt(host)
        return host

    @property
    def libvirt(self) -> str | None:
        """None: asking would start it, which waits."""
        return None if self.devices_only else self.connect

    def first_look(self, system: System) -> Host:
        """Which devices it means, and no more: before they are locked."""
        return observe(
            system,
            detail=self._worth_a_look,
            connect=None,
            described=False,
            processes=False,
            essentials=False,
            nvml=any(rule.select.asks_driver for rule in self.profile.gpus),
            cuts=False,
        )

    def touches(self, sight: Host) -> tuple[Address, ...]:
        """Everything the profile could touch, VFs to come included."""
        found: dict[Address, None] = {}
        for one in choose(self.profile, sight):
            found |= dict.fromkeys(member.address for member in sight.group_of(one.carrier))
            if not one.path:
                along = changed_with(sight, one.carrier, one.rule)
                found |= dict.fromkeys(other.address for other in along)
            found |= dict.fromkeys(_vfs(sight, one.carrier))
        return tuple(found)

    def fixed(self, sight: Host) -> "Reach":
        return self

    def plan(self, sight: Host) -> HostPlan:
        """Usage when the profile does not fit this host."""
        made = plan_profile(self.profile, sight, self.connect, self.devices_only)
        if not self.only:
            return made
        return HostPlan(plans=tuple(one for one in made.plans if one.title == self.only))

    def title(self, made: HostPlan) -> str:
        return "roll back" if self.takes_back else "apply this profile"

    def keeps(self, sight: Host) -> frozenset[Address]:
        """What stays with its domain."""
        if self.devices_only:
            return frozenset()
        slots = (
            slot_at(sight, want.chosen.carrier, (*want.chosen.path, *want.path))
            for want in attachments(self.profile, choose(self.profile, sight), sight)
        )
        return frozenset(slot.device for slot in slots if slot is not None)

    def entry(self, system: System, sight: Host, plans: tuple[Plan, ...]) -> Apply:
        """How the devices are, before the first of them is touched."""
        touched = {address for plan in plans for address in plan.devices}
        meant = choose(self.profile, sight)
        names: dict[Base, str] = dict(_along(meant, sight))
        names |= {one.carrier: one.name.replace("/", ".") for one in meant if not one.path}
        chosen = tuple(device for device in names if device.address in touched)
        return Apply(
            id=new_id(store_of(system), system.now()),
            time=system.now(),
            user=system.user(),
            source=self.source,
            devices=tuple(device.address for device in chosen),
            before=write_profile(export(sight, _principals(chosen), names, take_over=True)),
            after=write_profile(self.profile),
            boot_id=sight.boot_id,
            takes_back=self.takes_back,
            connect=self.connect,
            devices_only=self.devices_only,
            known=tuple(mark.key for mark in sight.marks if root_of(mark.carrier) in touched),
        )

    def _worth_a_look(self, bare: Host) -> set[Address]:
        """The candidates, their groups and VFs with theirs, and the ports above."""
        meant = candidates(self.profile, bare)
        chosen = bare.devices_at(meant)
        chosen = (*chosen, *(other for device in chosen for other in alike(bare, device)))
        pfs = {device.address for device in chosen}
        vfs = tuple(device for device in bare.devices if device.physfn in pfs)
        found = {member.address for device in (*chosen, *vfs) for member in bare.group_of(device)}
        found.update(meant)
        todo = list(found)
        while todo:
            device = bare.device(todo.pop())
            if device is not None and device.parent is not None and device.parent not in found:
                found.add(device.parent)
                todo.append(device.parent)
        return found


def _has_set(system: Reader) -> bool:
    """Something of a device is set for whoever has it: the way back tells of it."""
    return isinstance(system, System) and bool(read_marks_of(store_of(system), Setting))


def letting_stop(profile: Profile, names: tuple[str, ...]) -> Profile:
    """Whatever each device is used for, these may be stopped for it."""
    if not names:
        return profile
    rules = (replace(rule, stop=tuple(dict.fromkeys((*rule.stop, *names)))) for rule in profile.gpus)
    return replace(profile, gpus=tuple(rules))


def _vfs(host: Host, device: Base) -> Iterator[Address]:
    """Those that can be, and the groups of those that are."""
    sriov = device.facts.sriov if isinstance(device, Device) else None
    if sriov is None:
        return
    for number in range(sriov.total):
        vf = vf_address(device.address, sriov, number)
        if vf is not None:
            yield vf
    for there in host.devices_at(sriov.vfs):
        yield from (member.address for member in host.group_of(there))


def _along(meant: Iterable[Chosen], host: Host) -> Iterator[tuple[Device, str]]:
    """What may change with them though nobody speaks of it, by names of their own."""
    for one in meant:
        for other in alike(host, one.carrier):
            yield other, "along-" + other.address.replace(":", "-")


def _principals(chosen: tuple[Base, ...]) -> Iterable[Base]:
    """GPUs before their companions: a group on VFIO is told by one rule."""
    gpus = {one.address for one in chosen if isinstance(one, Device) and one.is_gpu}
    return sorted(chosen, key=lambda one: (one.address not in gpus, one.address))
