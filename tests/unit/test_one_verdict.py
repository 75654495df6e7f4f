"""Can it be given? list, groups, show, slots, plan and attach give one answer, on every recorded host."""

import json
import shutil
from pathlib import Path

import pytest

from gpupass import app
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.inspect import list_devices, list_groups, list_slots, show_device
from gpupass.model.host import Device
from gpupass.model.slot import SlotState
from gpupass.system import RecordedHost
from tests.host_tree import domain_text
from tests.profile_trips import plan

HOSTS = Path(__file__).parents[1] / "hosts"
NAMES = sorted(path.name for path in HOSTS.iterdir() if (path / "sys").is_dir())
UUID = "00000000-0000-4000-8000-0000000000ff"
LIBVIRT = "qemu:///system"


def with_a_guest(name: str, where: Path) -> RecordedHost:
    """The host, and a domain that has room for anything."""
    root = Path(shutil.copytree(HOSTS / name, where / name, symlinks=True)) / "gpupass"
    (root / "domains").mkdir(exist_ok=True)
    index = root / "domains.json"
    known = json.loads(index.read_text()) if index.exists() else {"domains": [], "unseen": []}
    facts = {"uuid": UUID, "state": "running", "autostart": False, "job": None, "resident": 8 << 20}
    known["domains"].append({"name": "probe", **facts})
    index.write_text(json.dumps({"domains": known["domains"], "unseen": []}))
    ports = "".join(f"<controller type='pci' index='{n}' model='pcie-root-port'/>" for n in range(2, 9))
    ports += "<controller type='pci' index='9' model='pcie-to-pci-bridge'/>"
    for side in ("live", "config"):
        (root / f"domains/{UUID}.{side}.xml").write_text(domain_text("probe", UUID, ports))
    return RecordedHost(str(where / name))


@pytest.mark.parametrize("name", NAMES)
def test_everybody_says_the_same(name: str, tmp_path: Path) -> None:
    host = with_a_guest(name, tmp_path)
    listing = list_devices(host, LIBVIRT, all_endpoints=True)
    groups = {one.group: one for one in list_groups(host, LIBVIRT, all_groups=True).verdicts}
    checked = 0
    for device in listing.devices:
        if not isinstance(device, Device) or device.is_bridge:
            continue
        verdict = show_device(host, device.address, LIBVIRT).verdict
        its = groups.get(device.group) if device.group is not None else None
        if its is not None and its.target == device.address:
            assert (its.viable, its.reasons) == (verdict.viable, verdict.reasons)
        conditions = listing.conditions.get(device.address, ())
        assert verdict.viable or conditions or device.users, f"{device.address}: list says nothing"
        assert not (verdict.viable and SlotState.REFUSED in conditions), device.address
        whole = [
            one for one in list_slots(host, device.address, LIBVIRT).offers if one.slot.name == device.address
        ]
        assert all((one.state is SlotState.FREE) == verdict.viable for one in whole), (device.address, whole)
        if all(companion.same_slot for companion in verdict.companions):
            against = attached(host, device)
            assert bool(against) != verdict.viable, (device.address, verdict.reasons, against)
            if device.physfn is None:
                against = planned(host, device)
                assert bool(against) != verdict.viable, (device.address, verdict.reasons, against)
        checked += 1
    assert checked


def attached(host: RecordedHost, device: Device) -> tuple[str, ...]:
    """Why not; so in `planned`."""
    try:
        app.attach(host, "probe", device.address, dry_run=True)
    except (Refused, Usage) as error:
        return tuple(reason for reason, _ in error.reasons) or (error.message,)
    return ()


def planned(host: RecordedHost, device: Device) -> tuple[str, ...]:
    rule = f"{{address: '{device.address}', class: '{device.class_code:06x}'}}"
    text = (
        f"gpus: [{{name: a, select: {rule}, use: passthrough}}]\nattachments: [{{domain: probe, device: a}}]"
    )
    try:
        made = plan(host, text).plans
    except GpupassError as error:
        return (error.message, *(reason for reason, _ in error.reasons))
    return tuple(finding.message for one in made for finding in one.findings if finding.fatal)
