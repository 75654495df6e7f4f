"""A config of mig-parted's file and a host → the profile that means the same here; pure."""

from collections.abc import Iterator

from gpupass.errors import Usage
from gpupass.importing.mig_parted import MigConfig
from gpupass.methods.host.rule import HostRule
from gpupass.methods.mig.compute import pack_compute
from gpupass.methods.mig.rule import MigRule
from gpupass.model.host import NVIDIA, Device, Host
from gpupass.model.mig import LayoutEntry, measures_of
from gpupass.model.profile import Profile, Rule, Select
from gpupass.model.vendor import Vendor


def choose_config(configs: tuple[MigConfig, ...], name: str | None) -> MigConfig:
    """The one of this name, or the only one; Usage lists them."""
    if not configs:
        raise Usage("cannot choose: this file has no configs", "mig-configs: {NAME: [{devices: all, …}]}")
    known = ", ".join(config.name for config in configs)
    if name is None and len(configs) == 1:
        return configs[0]
    found = next((config for config in configs if config.name == name), None)
    if found is None:
        which = "several configs are in this file" if name is None else f"this file has no config {name}"
        raise Usage(f"cannot choose: {which}: {known}", "gpupass profile import-mig FILE --config NAME")
    return found


def import_config(config: MigConfig, host: Host) -> Profile:
    """Usage when it speaks of no GPU of this host.

    GPUs are numbered as mig-parted does: in the order of their addresses.
    """
    rules = tuple(_rules(config, host))
    if not rules:
        raise Usage(f"cannot import {config.name}: it speaks of no GPU that this host has", "gpupass list")
    return Profile(gpus=rules)


def _rules(config: MigConfig, host: Host) -> Iterator[Rule]:
    """With MIG mode off what others made goes, too, as with mig-parted: it is taken over where it is on."""
    for number, device in enumerate(_numbered(host)):
        vendor, _, model = device.subsystem.partition(":")
        board = int(model, 16) << 16 | int(vendor, 16) if model else None
        entry = config.entry_for(number, device.device << 16 | device.vendor, board)
        if entry is None:
            continue
        name, select = f"gpu{number}", _select(device)
        if entry.devices_wanted is None:
            nvidia = device.detail.nvidia if device.detail is not None else None
            is_on = nvidia is not None and (nvidia.mig_mode or "").startswith("enabled")
            yield HostRule(name=name, select=select, take_over=is_on)
        else:
            yield MigRule(name=name, select=select, layout=tuple(layout_of(entry.devices_wanted)))


def _numbered(host: Host) -> list[Device]:
    """Those that NVML has, as mig-parted counts them: one that is lent to a guest has no number."""
    gpus = [one for one in host.devices if one.vendor == Vendor.NVIDIA and one.is_gpu and one.physfn is None]
    return [one for one in gpus if one.driver == NVIDIA] or gpus


def layout_of(names: tuple[str, ...]) -> Iterator[LayoutEntry]:
    """Compute instances (1c.3g.20gb) share a GPU instance as long as it has room (mig-parted, config.go)."""
    shared: dict[str, list[int]] = {}
    for name in names:
        part, _, profile = name.rpartition("c.")
        if not part or int(part) == _slices(profile):
            yield LayoutEntry(profile=profile)
        else:
            shared.setdefault(profile, []).append(int(part))
    for profile, parts in shared.items():
        for compute in _together(_slices(profile), parts):
            yield LayoutEntry(profile=profile, compute=compute)


def _together(slices: int, parts: list[int]) -> list[tuple[int, ...]]:
    """The largest first, each into the first instance with room for it."""
    instances: list[tuple[int, ...]] = []
    for part in sorted(parts, reverse=True):
        room = (at for at, there in enumerate(instances) if pack_compute(slices, (*there, part)) is not None)
        at = next(room, None)
        if at is None:
            instances.append((part,))
        else:
            instances[at] += (part,)
    return instances


def _slices(profile: str) -> int:
    measures = measures_of(profile)
    return measures[0] if measures is not None else 0


def _select(device: Device) -> Select:
    nvidia = device.detail.nvidia if device.detail is not None else None
    return Select(uuid=nvidia.uuid) if nvidia is not None else Select(address=device.address)
