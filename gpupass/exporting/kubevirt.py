"""The KubeVirt CR: permittedHostDevices (KubeVirt user guide, host devices; kubevirt.io/v1)."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from gpupass.exporting.handed import Handed, Left, Written, by_kind, is_function, names_of, product, remarks
from gpupass.model.host import Device
from gpupass.model.vendor import Vendor

_HEAD = """\
# kubectl -n kubevirt patch kubevirt kubevirt --type merge --patch-file FILE
# One for all nodes: a list replaces the one that is there. KubeVirt's own plugin hands out what vfio-pci has;
# it knows devices by vendor:device, not by address. VMs need the feature gate HostDevices.
"""
_MDEVS = """\
# virt-handler may remove mediated devices that it has not made: the feature gate DisableMDEVConfiguration
# keeps it from that.
"""
_VENDORS = {Vendor.NVIDIA: "nvidia.com", Vendor.AMD: "amd.com", Vendor.INTEL: "intel.com"}
_OWN = "its vendor's driver has it, not vfio-pci: not for KubeVirt's own plugin, for the vendor's"


def write_kubevirt(handed: tuple[Handed, ...], left: tuple[Left, ...], others: tuple[Device, ...]) -> Written:
    """`others` are all functions of the host: what is alike goes along."""
    functions = [one for one in handed if is_function(one)]
    mediated = [one for one in handed if not is_function(one)]
    taken, passed = _on_vfio(functions)
    left = (*left, *passed)
    permitted: dict[str, Any] = {}
    if taken:
        permitted["pciHostDevices"] = [*_pci(taken)]
    if mediated:
        permitted["mediatedDevices"] = [*_mediated(mediated)]
    document = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        "spec": {"configuration": {"permittedHostDevices": permitted}},
    }
    notes = [*_along(taken, others), *remarks((*taken, *mediated), left)]
    head = _HEAD + (_MDEVS if mediated else "")
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1 << 30)
    return Written(text=head + text + "".join(f"{note}\n" for note in notes), left=left)


def _on_vfio(functions: Iterable[Handed]) -> tuple[list[Handed], list[Left]]:
    kept: list[Handed] = []
    left: list[Left] = []
    for one in functions:
        if one.device.lends_itself:
            left.append(Left(what=one.slot.name, why=_OWN))
        elif not one.device.on_vfio:
            way = f"gpupass bind {one.device.address}"
            left.append(Left(what=one.slot.name, why=f"KubeVirt takes only what is on vfio-pci: {way}"))
        else:
            kept.append(one)
    return kept, left


def _pci(functions: list[Handed]) -> Iterator[dict[str, str]]:
    """One for each vendor:device, whatever board it is on."""
    first = {ones[0].device.ids: ones[0] for ones in reversed(by_kind(functions).values())}
    names = names_of(first.values(), lambda one: _resource(one.device, product(one.device)))
    for ids, one in sorted(first.items()):
        yield {"pciVendorSelector": ids.upper(), "resourceName": names[one.kind]}


def _mediated(mediated: list[Handed]) -> Iterator[dict[str, str]]:
    named = {one.mdev_type[1]: one for one in reversed(mediated) if one.mdev_type is not None}
    for name, one in sorted(named.items()):
        yield {"mdevNameSelector": name, "resourceName": _resource(one.device, name)}


def _resource(device: Device, name: str) -> str:
    """An extended resource's: at most 63 letters, digits, `-`, `_` and `.`, the first and last no sign."""
    word = re.sub(r"[^A-Za-z0-9.-]+", "_", name)
    vendor = next((one for one in Vendor if one == device.vendor), None)
    word = word.removeprefix(f"{vendor.name}_") if vendor is not None else word
    return f"{_VENDORS.get(vendor, 'gpupass.io') if vendor else 'gpupass.io'}/{word[:63].strip('._-')}"


def _along(taken: Iterable[Handed], others: Iterable[Device]) -> Iterator[str]:
    """Those of the same numbers on vfio-pci that are not for guests here."""
    known = {one.device.address for one in taken}
    numbers = {one.device.ids for one in taken}
    for device in others:
        if device.ids in numbers and device.on_vfio and device.address not in known:
            yield f"# {device.address} goes along: it is {device.ids.upper()} on {device.driver}, too"
