"""This host as a profile, as another tool's file means it, or, what guests can have, as one says it."""

from typing import TYPE_CHECKING

from gpupass.model.domain import QEMU
from gpupass.model.host import Host
from gpupass.model.profile import Profile
from gpupass.observe import observe
from gpupass.planner.export import export as export_profile
from gpupass.planner.export import made_elsewhere, worth_telling
from gpupass.system import Reader

if TYPE_CHECKING:
    from gpupass.exporting.handed import Written

NOVA, KUBEVIRT, PVE_MAPPING = FORMATS = ("nova", "kubevirt", "pve-mapping")


def export(system: Reader, connect: str = QEMU) -> tuple[Profile, Host]:
    """A profile of this host as it is."""
    host = observe(system, connect=connect, settings=True)
    return export_profile(host, worth_telling(host)), host


def export_for(
    system: Reader, manager: str, connect: str = QEMU, node: str | None = None
) -> tuple["Written", Host]:
    """What this host gives to guests, as the manager's file says it; `node`: what Proxmox calls this host."""
    from gpupass.exporting.handed import sorted_out
    from gpupass.exporting.kubevirt import write_kubevirt
    from gpupass.exporting.nova import write_nova
    from gpupass.exporting.proxmox import write_proxmox
    from gpupass.planner.offers import offers_of

    host = observe(system, connect=connect)
    offers = (offer for one in worth_telling(host) for offer in offers_of(host, one))
    handed, left = sorted_out(host, offers, typeless=manager == PVE_MAPPING)
    if manager == NOVA:
        return write_nova(handed, left), host
    if manager == KUBEVIRT:
        return write_kubevirt(handed, left, host.devices), host
    return write_proxmox(handed, left, system.hostname() if node is None else node), host


def import_mig(system: Reader, file: str, text: str, config: str | None) -> Profile:
    """What a config of mig-parted's file means on this host; Usage when it cannot be told."""
    from gpupass.importing.mig import choose_config, import_config
    from gpupass.importing.mig_parted import read_mig_configs

    chosen = choose_config(read_mig_configs(file, text), config)
    return import_config(chosen, observe(system, connect=None, processes=False, essentials=False, cuts=False))


def foreign(host: Host) -> tuple[str, ...]:
    return tuple(made_elsewhere(host, host.carriers))
