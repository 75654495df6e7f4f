"""Options of an attachment: what cannot be is refused before anything is touched, the rest is looked for in the XML."""

import re

import pytest

from gpupass import app
from gpupass.cli.attachment_options import TYPED
from gpupass.errors import Disrupts, GpupassError, Refused, Usage
from gpupass.lending.lender import Loan
from gpupass.lending.options import option_findings
from gpupass.model.domain import Domain, DomainState
from gpupass.model.host import Host
from gpupass.model.options import Options
from gpupass.profiles.options import read_options
from gpupass.profiles.spelling import keys_of
from tests.simulated import GPU, GPU_AUDIO, LONE
from tests.simulated_libvirt import Plugged

ROM = "/usr/share/vgabios/card.rom"


def attach(machine, device=LONE, domain="vm1", disruption=False, **typed):
    return app.attach(machine, domain, device, options=_read(typed), disruption=disruption)


def _read(typed):
    return read_options({name.replace("_", "-"): value for name, value in typed.items()})


@pytest.fixture
def ready(machine):
    machine.put(ROM, b"\x55\xaa\x40")
    machine.put("/root/text", b"#!")
    machine.libvirt.guests["vm1"].hotplug_off = (4,)
    machine.libvirt.plug("vm1", GPU_AUDIO, managed=True)  # at 01:00.0 of the guest
    return machine


REFUSED = {
    "no such ROM": ({"rom": "/no/such"}, "/no/such as its ROM: No such file"),
    "no ROM at all": ({"rom": "/root/text"}, "not 55 AA"),
    "iommufd": ({"driver": "iommufd"}, "libvirt 11.3.0 cannot open .* through iommufd: 12.1 can"),
    "taken": ({"guest_address": "01:00.0"}, "something is there"),
    "closed": ({"guest_address": "04:00.0"}, "hotplug='off'"),
    "no port": ({"guest_address": "09:00.0"}, "no hot-plug port leads there"),
    "no slot of a port": ({"guest_address": "02:01.0"}, "no hot-plug port leads there"),
    "a function": ({"guest_address": "02:00.1"}, "function 0 of a slot only"),
    "a property of QEMU's": (
        {"qemu_property": ("x-igd-opregion=on",)},
        "libvirt has no element for x-igd-opregion, .* when vm1 starts only",
    ),
    "elsewhere": ({"guest_address": "0001:02:00.0"}, "no hot-plug port leads there"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(ready, name):
    typed, why = REFUSED[name]
    ready.log.clear()
    with pytest.raises(Refused, match=why):
        attach(ready, **typed)
    assert ready.log == []


UUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("typed", "why"), [("rom: none", "has|whose ROM"), ("driver: iommufd", "only PCI functions")]
)
def test_a_mediated_device_is_no_pci_function(typed, why):
    name, value = typed.split(": ")
    loan = Loan(address=LONE, mdev=UUID, options=read_options({name: value}))
    host = Host(devices=(), libvirt=(12, 5, 0))
    (finding,) = option_findings(host, loan, Domain(name="vm1", uuid="", state=DomainState.RUNNING))
    assert finding.fatal and finding.message.startswith(UUID) and re.search(why, finding.message)


MISSPELLED = {
    "rom": ("card.rom", "rom: 'card.rom' does not fit"),
    "guest-address": ("xx", "no PCI address"),
    "driver": ("vfio-pci", "none of vfio, iommufd"),
}


@pytest.mark.parametrize("name", MISSPELLED)
def test_what_means_nothing_is_no_option(name):
    text, why = MISSPELLED[name]
    with pytest.raises(Usage, match=why):
        read_options({name: text})


def test_the_xml_says_it(ready):
    attach(ready, rom=ROM, guest_address="03:00.0")
    plugged = ready.libvirt.guests["vm1"].live[LONE]
    assert (plugged.bus, plugged.more) == (3, f'<rom file="{ROM}" />')
    assert app.attach(ready, "vm1", LONE).ending == "nothing to do"
    assert attach(ready, rom=ROM, guest_address="03:00.0").ending == "nothing to do"


def test_iommufd_where_libvirt_can(ready):
    ready.libvirt.its_version = (12, 1, 0)
    attach(ready, driver="iommufd")
    assert ready.libvirt.guests["vm1"].live[LONE].more == '<driver name="vfio" iommufd="yes" />'


def test_what_libvirt_drops_is_no_success(ready):
    """It is given back then."""
    before = ready.snapshot()
    ready.libvirt.faults["options"] = ["dropped"]
    with pytest.raises(GpupassError, match="with rom none: its live XML says otherwise"):
        attach(ready, rom="none")
    assert ready.snapshot() == before


def test_a_rom_that_changes_meanwhile(ready, monkeypatch):
    """Looked at again just before QEMU reads it."""
    written = type(ready)._write

    def change(self, path, value, seconds=10.0):
        self.put(ROM, b"others")
        written(self, path, value, seconds)

    monkeypatch.setattr(type(ready), "_write", change)
    before = ready.snapshot()
    with pytest.raises(GpupassError, match="not 55 AA"):
        attach(ready, rom=ROM)
    assert ready.snapshot() == before


def test_another_option_takes_it_from_the_guest_for_a_while(ready):
    attach(ready, rom="none")
    with pytest.raises(Disrupts, match="disrupts domain vm1"):
        attach(ready, rom=ROM)
    assert attach(ready, rom=ROM, disruption=True).ending == "done"
    assert ready.libvirt.guests["vm1"].live[LONE].more == f'<rom file="{ROM}" />'
    assert LONE in ready.resets
    attach(ready, rom="default", disruption=True)
    assert ready.libvirt.guests["vm1"].live[LONE].more == ""


def test_what_the_guest_sees_beside_it_comes_back_too(machine):
    app.attach(machine, "vm1", GPU, GPU_AUDIO)
    attach(machine, GPU, rom="none", disruption=True)
    assert machine.libvirt.guests["vm1"].seen == [GPU, GPU_AUDIO]


def test_options_go_along(ready):
    attach(ready, rom=ROM, guest_address="03:00.0")
    app.move(ready, LONE, "vm2")
    moved = ready.libvirt.guests["vm2"].live[LONE]
    assert (moved.bus, moved.more) == (1, f'<rom file="{ROM}" />')
    app.move(ready, LONE, "vm1", options=_read({"rom": "none"}))
    assert ready.libvirt.guests["vm1"].live[LONE].more == '<rom bar="off" />'


def test_what_virsh_gave_it_with_comes_back_with_it(ready):
    """A detach that is rolled back."""
    app.bind(ready, LONE)
    ready.libvirt.plug("vm1", LONE)
    ready.libvirt.guests["vm1"].live[LONE] = Plugged(LONE, "mine", 2, more="<rom bar='off'/>")
    ready.libvirt.guests["vm2"].ports = 1
    ready.libvirt.faults["attach"] = [GpupassError("no")]
    with pytest.raises(GpupassError):
        app.move(ready, LONE, "vm2")
    assert 'bar="off"' in ready.libvirt.guests["vm1"].live[LONE].more


def test_what_the_command_line_has_is_what_a_profile_has():
    assert set(TYPED) == set(keys_of(Options))


def test_where_libvirt_takes_a_property(ready):
    """Each of the type that it has on QEMU's command line."""
    with pytest.raises(Refused) as refused:
        attach(ready, qemu_property=("x-igd-opregion=on", "x-igd-gms=2", "x-req=off", "display=auto"))
    (remedy,) = [
        remedy for why, remedy in refused.value.reasons or ((refused.value.message, refused.value.hint),)
    ]
    found = re.findall(r"name='([\w-]+)' type='(\w+)' value='(\w+)'", remedy)
    assert found == [
        ("x-igd-opregion", "bool", "true"),
        ("x-igd-gms", "unsigned", "2"),
        ("x-req", "bool", "false"),
        ("display", "string", "auto"),
    ]
