"""Profiles are about GPUs: what holds disks is meant only where the rule says so."""

import pytest

from gpupass.errors import Usage
from gpupass.profiles import write_profile
from tests.profile_files import load
from tests.profile_trips import exported, kinds, plan
from tests.simulated import GPU, LONE, VF0, Machine

KINDS = {
    0x010000: "SCSI",
    0x010185: "IDE",
    0x010400: "RAID",
    0x010601: "SATA",
    0x010700: "SAS",
    0x010802: "NVMe",
    0x0C0400: "Fibre Channel",
    0x080501: "SD host",
}


@pytest.fixture
def with_disk(machine):
    def make(code) -> Machine:
        machine.replug(LONE, ids="1000:00af", class_code=code, serial="00-01-02-03-04-05-06-0a")
        machine.put("/sys/bus/pci/slots/2/address", f"{LONE[:-2]}\n")
        return machine

    return make


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize("by", ["address", "slot", "serial"])
def test_a_disk_is_meant_when_it_is_said(by, code, with_disk):
    machine = with_disk(code)
    select = {
        "address": f"address: '{LONE}'",
        "slot": "slot: '2'",
        "serial": "serial: 00-01-02-03-04-05-06-0a",
    }[by]
    text = f"gpus: [{{name: a, select: {{{select}}}, use: passthrough}}]"
    with pytest.raises(Usage) as refused:
        plan(machine, text)
    assert "storage" in refused.value.message and KINDS[code] in refused.value.message
    assert kinds(plan(machine, text.replace("}, use", ", class: storage}, use")))
    assert kinds(plan(machine, text.replace("passthrough", "host, optional: true"))) == []


@pytest.mark.parametrize("select", ["address: '{}'", "slot: '2'"])
def test_what_is_no_gpu_is_told(select, with_disk):
    """A place may have become another card's since the rule was written."""
    machine = with_disk(0x0C0330)
    text = f"gpus: [{{name: a, select: {{{select.format(LONE)}}}, use: passthrough}}]"
    (told,) = plan(machine, text).plans
    (finding,) = (one for one in told.findings if not one.fatal)
    assert f"{LONE} is no GPU: USB controller" in finding.message and "class: '0c03'" in finding.remedy
    meant = plan(machine, text.replace("}, use", ", class: '0c03'}, use")).plans
    assert kinds(plan(machine, text)) and meant[0].findings == ()


def test_a_virtual_function_is_its_card_s(machine):
    with pytest.raises(Usage, match=f"a means {VF0}, a virtual function of"):
        plan(machine, f"gpus: [{{name: a, select: {{address: '{VF0}'}}, use: passthrough}}]")


def test_what_is_exported_says_it(machine, with_disk):
    machine = with_disk(0x010802)
    machine.set_driver(LONE, "vfio-pci")
    text = write_profile(exported(machine))
    assert "class: storage" in text and GPU in text
    assert kinds(plan(machine, load(text))) == []
