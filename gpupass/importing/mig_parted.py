"""`mig-configs` files of NVIDIA's mig-parted (api/spec/v1) → named layouts; pure. They are never written."""

from typing import Annotated

from msgspec import Struct

from gpupass.model.key import Key
from gpupass.profiles.findings import Enough, Findings
from gpupass.profiles.shape import read_part
from gpupass.profiles.tree import read_tree
from gpupass.profiles.written import Part, build

ALL = "all"
_VERSION = "v1"
_MOST = 64  # of one profile; no GPU has room for more
_PROFILE = r"([0-9]{1,2}c\.)?[0-9]{1,2}g\.[0-9]{1,4}gb([+-][a-z.,]{1,40})?"
_PROFILE_FORM = "a GPU instance like 1g.5gb or 1g.5gb+me, or a compute instance like 1c.3g.20gb"


class Count(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of `mig-devices`."""

    profile: Annotated[str, Key("profile", pattern=_PROFILE, form=_PROFILE_FORM)]
    count: Annotated[int, Key("how many of it", minimum=0)]


class MigConfigEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What some of the GPUs become."""

    devices: Annotated[tuple[str, ...], Key("all, or the numbers of the GPUs", pattern="all|[0-9]{1,3}")]
    filters: Annotated[
        tuple[str, ...],
        Key(
            "PCI device and vendor id, 0x20B010DE",
            spelled="device-filter",
            pattern="0[xX][0-9a-fA-F]{8}",
            form="0x and eight hex digits",
        ),
    ] = ()
    enabled: Annotated[bool, Key("MIG mode on or off", spelled="mig-enabled")]
    counts: Annotated[
        tuple[Count, ...], Key("how many instances of which profile", spelled="mig-devices", mapping=True)
    ] = ()

    @property
    def devices_wanted(self) -> tuple[str, ...] | None:
        """MIG devices by their names, 3g.20gb or 1c.3g.20gb; None: MIG mode off."""
        if not self.enabled:
            return None
        return tuple(one.profile for one in self.counts for _ in range(one.count))

    def speaks_of(self, number: int, pci_ids: int) -> bool:
        """`pci_ids`: device << 16 | vendor, as in `device-filter` (0x20b010de)."""
        known = not self.filters or pci_ids in {int(text, 16) for text in self.filters}
        return known and (ALL in self.devices or number in {int(n) for n in self.devices if n != ALL})


class MigConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `mig-configs`."""

    name: Annotated[str, Key("name", pattern=r"\S{1,100}", form="up to 100 signs without a space")]
    entries: Annotated[tuple[MigConfigEntry, ...], Key("what the GPUs become")]

    def entry_for(self, number: int, pci_ids: int) -> MigConfigEntry | None:
        """What this GPU becomes: of several entries mig-parted applies the last one last; None: untouched."""
        return next((one for one in reversed(self.entries) if one.speaks_of(number, pci_ids)), None)


class _Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Annotated[str, Key("version of the format", choices=(_VERSION,))]
    configs: Annotated[tuple[MigConfig, ...], Key("layouts by name", spelled="mig-configs", mapping=True)]


def read_mig_configs(name: str, text: str) -> tuple[MigConfig, ...]:
    """Every config of a file, in its order; ProfileInvalid holds all errors, each with its place."""
    findings = Findings()
    part: Part | None = None
    try:
        node = read_tree(name, text, findings)
        part = read_part(_Document, node, findings, "the file") if node is not None else None
        for config in part.parts("configs") if part is not None else ():
            for entry in config.parts("entries"):
                _check(entry, findings)
    except Enough:
        pass
    findings.raise_for(name)
    configs: tuple[MigConfig, ...] = build(part).configs if part is not None else ()
    return configs


def _check(entry: Part, findings: Findings) -> None:
    """What mig-parted itself refuses or would take one of two ways."""
    devices = [item.value for item in entry.get("devices") or ()]
    if ALL in devices and len(devices) > 1:
        findings.add(entry.where("devices"), "devices: 'all' and single numbers exclude each other")
    for count in entry.parts("counts"):
        if (count.get("count") or 0) > _MOST:
            findings.add(count.where("count"), f"count: no GPU has room for {count.get('count')} instances")
    if entry.get("enabled") is False and any(part.get("count") for part in entry.parts("counts")):
        findings.add(
            entry.where("counts"), "mig-devices: there are none with MIG mode off", "mig-enabled: true"
        )
