"""A profile of this host as it is, or as a file of another tool means it."""

from gpupass.app.intents import QEMU
from gpupass.importing.mig import choose_config, import_config
from gpupass.importing.mig_parted import read_mig_configs
from gpupass.model.host import Host
from gpupass.model.profile import Profile
from gpupass.observe import observe
from gpupass.planner.export import export as export_profile
from gpupass.planner.export import made_elsewhere, worth_telling
from gpupass.system import Reader


def export(system: Reader, connect: str = QEMU) -> tuple[Profile, Host]:
    """A profile of this host as it is."""
    host = observe(system, connect=connect)
    return export_profile(host, worth_telling(host)), host


def import_mig(system: Reader, file: str, text: str, config: str | None) -> Profile:
    """What a config of mig-parted's file means on this host; Usage when it cannot be told."""
    chosen = choose_config(read_mig_configs(file, text), config)
    return import_config(chosen, observe(system, connect=None, processes=False, essentials=False, cuts=False))


def foreign(host: Host) -> tuple[str, ...]:
    return tuple(made_elsewhere(host, host.carriers))
