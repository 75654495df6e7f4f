"""`mig-configs` files of NVIDIA's mig-parted (api/spec/v1) → named layouts; pure. They are never written."""

from typing import Annotated

from msgspec import Struct

from gpupass.errors import Usage
from gpupass.model.key import Key
from gpupass.profiles.findings import Enough, Findings
from gpupass.profiles.nodes import Map, Node, Scalar
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
            "PCI device and vendor id, 0x20B010DE, also with those of the board, 0x20B010DE:0x87AF1043",
            spelled="device-filter",
            pattern="(0[xX][0-9a-fA-F]{8}(:0[xX][0-9a-fA-F]{8})?)?",
            form="0x and eight hex digits, or two of them with ':' between",
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

    def speaks_of(self, number: int, pci_ids: int, board: int | None = None) -> bool:
        """`pci_ids`: device << 16 | vendor, as in `device-filter` (0x20b010de); `board` the subsystem's.

        An empty filter is none.
        """
        filters = [text for text in self.filters if text]
        known = not filters or any(_fits(text, pci_ids, board) for text in filters)
        return known and (ALL in self.devices or number in {int(n) for n in self.devices if n != ALL})


def _fits(text: str, pci_ids: int, board: int | None) -> bool:
    ids, _, its_board = text.partition(":")
    return int(ids, 16) == pci_ids and (not its_board or int(its_board, 16) == board)


class MigConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `mig-configs`."""

    name: Annotated[str, Key("name", pattern=r"\S{1,100}", form="up to 100 signs without a space")]
    entries: Annotated[tuple[MigConfigEntry, ...], Key("what the GPUs become")]

    def entry_for(self, number: int, pci_ids: int, board: int | None = None) -> MigConfigEntry | None:
        """What this GPU becomes: of several entries mig-parted applies the last one last; None: untouched."""
        return next((one for one in reversed(self.entries) if one.speaks_of(number, pci_ids, board)), None)


class _Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Annotated[str, Key("version of the format", choices=(_VERSION,))]
    configs: Annotated[tuple[MigConfig, ...], Key("layouts by name", spelled="mig-configs", mapping=True)]


def read_mig_configs(name: str, text: str) -> tuple[MigConfig, ...]:
    """Every config of a file, in its order; ProfileInvalid holds all errors, each with its place."""
    findings = Findings()
    part: Part | None = None
    try:
        node = read_tree(name, text, findings)
        if node is not None and _is_config_map(node):
            raise Usage(
                f"cannot read {name}: it is a Kubernetes ConfigMap, which has the file within it",
                "kubectl get configmap NAME -o jsonpath='{.data.config\\.yaml}'",
            )
        part = read_part(_Document, node, findings, "the file") if node is not None else None
        for config in part.parts("configs") if part is not None else ():
            for entry in config.parts("entries"):
                _check(entry, findings)
    except Enough:
        pass
    findings.raise_for(name)
    configs: tuple[MigConfig, ...] = build(part).configs if part is not None else ()
    return configs


def _is_config_map(node: Node) -> bool:
    return isinstance(node, Map) and any(
        name.text == "kind" and isinstance(value, Scalar) and value.text == "ConfigMap"
        for name, value in node.entries
    )


def _check(entry: Part, findings: Findings) -> None:
    """What mig-parted itself refuses or would take one of two ways."""
    items = entry.get("devices") or ()
    devices = [item.value for item in items]
    alone = [str(item.place) for item in items] == [str(entry.where("devices"))]
    if ALL in devices and len(devices) > 1:
        findings.add(entry.where("devices"), "devices: 'all' and single numbers exclude each other")
    elif ALL in devices and not alone:
        findings.add(entry.where("devices"), "devices: 'all' stands alone, in no list", "devices: all")
    elif alone and ALL not in devices:
        remedy = f"devices: [{', '.join(devices)}]"
        findings.add(entry.where("devices"), "devices: numbers stand in a list", remedy)
    if entry.get("enabled") is True and "counts" not in entry.fields:
        findings.add(
            entry.place,
            "missing key 'mig-devices': with MIG mode on it says what there is to be",
            "mig-devices: {} for MIG mode without instances",
        )
    if entry.get("counts") and not any(part.get("count") for part in entry.parts("counts")):
        findings.add(entry.where("counts"), "mig-devices: all counts are 0", "mig-devices: {}")
    for count in entry.parts("counts"):
        if (count.get("count") or 0) > _MOST:
            findings.add(count.where("count"), f"count: no GPU has room for {count.get('count')} instances")
    if entry.get("enabled") is False and any(part.get("count") for part in entry.parts("counts")):
        findings.add(
            entry.where("counts"), "mig-devices: there are none with MIG mode off", "mig-enabled: true"
        )
