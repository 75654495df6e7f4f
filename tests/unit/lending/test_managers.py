"""Domains that others manage too: shown as theirs by their metadata, and not changed without their names."""

import pytest

from gpupass import app
from gpupass.errors import Refused
from gpupass.lending.domain_xml import parse_definition
from gpupass.model.domain import Manager
from gpupass.observe.secrets import without_secrets
from tests.profile_trips import apply, profile_of
from tests.simulated import LONE

METADATA = {
    Manager.NOVA: '<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">'
    "<nova:name>secret</nova:name></nova:instance>",
    Manager.OVIRT: '<ovirt-vm:vm xmlns:ovirt-vm="http://ovirt.org/vm/1.0"/>',
    Manager.KUBEVIRT: '<kubevirt xmlns="http://kubevirt.io"><uid>1</uid></kubevirt>',
    Manager.OPENNEBULA: '<one:vm xmlns:one="http://opennebula.org/xmlns/libvirt/1.0"/>',
    None: '<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"/>',
}


def xml(manager):
    return f"<domain><name>x</name><metadata>{METADATA[manager]}</metadata></domain>"


@pytest.mark.parametrize("manager", METADATA)
def test_a_record_tells_them_too_and_nothing_of_what_they_keep(manager):
    assert parse_definition(xml(manager)).manager is manager
    stored = without_secrets(xml(manager))
    assert parse_definition(stored).manager is manager
    assert "secret" not in stored


def test_none_without_metadata():
    assert parse_definition("<domain/>").manager is None


@pytest.fixture
def theirs(machine):
    machine.libvirt.guests["vm1"].metadata = METADATA[Manager.NOVA]
    return machine


def test_nothing_comes_without_asking(theirs):
    with pytest.raises(Refused, match="vm1 is managed by nova") as refused:
        app.attach(theirs, "vm1", LONE)
    assert "--even-of nova" in refused.value.hint and theirs.log == []
    with pytest.raises(Refused, match="managed by nova"):
        app.attach(theirs, "vm1", LONE, even_of=Manager.OVIRT)
    app.attach(theirs, "vm1", LONE, even_of=Manager.NOVA)
    assert theirs.libvirt.holders(LONE) == ["vm1"]
    assert app.attach(theirs, "vm1", LONE).ending is app.Ending.NOTHING


def test_nothing_goes_without_asking(theirs):
    theirs.libvirt.plug("vm1", LONE, managed=True)
    for verb in (
        lambda **how: app.detach(theirs, "vm1", LONE, **how),
        lambda **how: app.move(theirs, LONE, "vm2", **how),
    ):
        with pytest.raises(Refused, match="managed by nova"):
            verb()
    app.move(theirs, LONE, "vm2", even_of=Manager.NOVA)
    assert theirs.libvirt.holders(LONE) == ["vm2"]


@pytest.mark.parametrize("said", ["", ", even-of: nova"])
def test_by_a_profile(said, theirs):
    text = (
        f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]\n"
        f"attachments: [{{domain: vm1, device: a{said}}}]"
    )
    if said:
        apply(theirs, profile_of(text))
        assert theirs.libvirt.holders(LONE) == ["vm1"]
    else:
        with pytest.raises(Refused, match="managed by nova"):
            apply(theirs, profile_of(text))
