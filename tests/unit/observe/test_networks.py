"""Whatever network stands on a card, the card is the host's: who, and how it is taken off."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gpupass.devices.verdict import device_verdict
from gpupass.model.user import UserKind
from gpupass.observe import observe
from gpupass.system import RecordedHost
from tests.host_tree import Function, HostTree

NIC, OTHER, VF = "0000:04:00.0", "0000:04:00.1", "0000:04:02.0"


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    tree = HostTree(tmp_path)
    tree.kernel()
    tree.iommu()
    for group, address in enumerate((NIC, OTHER)):
        ids = "15b3:1017"
        tree.function(
            Function(address=address, ids=ids, class_code=0x020000, driver="mlx5_core", group=group)
        )
    tree.function(
        Function(address=VF, ids="15b3:1018", class_code=0x020000, driver="mlx5_core", group=7, physfn=NIC)
    )
    tree.interface("eth0", tree.path(NIC))
    tree.interface("eth1", tree.path(OTHER))
    tree.mounts(())
    return tree


def vlan(tree: HostTree) -> None:
    tree.interface("eth0.7", None, ("eth0",), kind="vlan")


def bridged_vlan(tree: HostTree) -> None:
    vlan(tree)
    tree.interface("br7", None, ("eth0.7",), kind="bridge", master=True)


def bond(tree: HostTree) -> None:
    tree.interface("bond0", None, ("eth0",), kind="bond", master=True)


def team(tree: HostTree) -> None:
    tree.interface("team0", None, ("eth0",), kind="team", master=True)


def vrf(tree: HostTree) -> None:
    """Its routes are in a table that /proc/net/route does not show."""
    tree.interface("blue", None, ("eth0",), kind="vrf", master=True)


def macsec(tree: HostTree) -> None:
    tree.interface("macsec0", None, ("eth0",), kind="macsec")


def ipvlan(tree: HostTree) -> None:
    tree.interface("ipvl0", None, ("eth0",))


def open_vswitch(tree: HostTree) -> None:
    tree.interface("ovs-system", None, ("eth0",), kind="openvswitch", master=True)


def bond_in_open_vswitch(tree: HostTree) -> None:
    bond(tree)
    tree.interface("ovs-system", None, ("bond0",), kind="openvswitch", master=True)


def macvtap(tree: HostTree) -> None:
    tree.interface("macvtap0", None, ("eth0",), kind="macvtap")
    direct = "<interface type='direct'><source dev='eth0' mode='vepa'/><target dev='macvtap0'/></interface>"
    tree.domain("web", direct)


def direct_interface(tree: HostTree) -> None:
    """Seen in the XML alone: the macvtap is in a name space of its own."""
    tree.domain("web", "<interface type='direct'><source dev='eth0' mode='private'/></interface>")


def name_space(tree: HostTree) -> None:
    for name in ("eth0", "uevent", "eth1"):
        where = tree.root / f"{tree.path(NIC)}/net/{name}".lstrip("/")
        for file in where.iterdir() if where.is_dir() else ():
            file.unlink()
        if where.is_dir():
            where.rmdir()
    (tree.root / "sys/class/net/eth0").unlink()


def pppoe(tree: HostTree) -> None:
    """No link leads from ppp0 to what it dials through."""
    tree.interface("ppp0", None)
    tree.default_route("ppp0")
    head = "Id       Address              Device\n"
    tree.file("/proc/net/pppoe", f"{head}00000001 00:11:22:33:44:55        eth0\n")


def vdpa(tree: HostTree) -> None:
    path = f"{tree.path(VF)}/vdpa0"
    tree.file(f"{path}/uevent", "DRIVER=vhost_vdpa\n")
    tree.link("/sys/bus/vdpa/devices/vdpa0", path)
    tree.link(f"{path}/driver", "/sys/bus/vdpa/drivers/vhost_vdpa")


def virtio_vdpa(tree: HostTree) -> None:
    """The host itself uses it, by an interface below it."""
    vdpa(tree)
    tree.interface("eth5", f"{tree.path(VF)}/vdpa0/virtio0")
    tree.default_route("eth5")


def representor(tree: HostTree) -> None:
    """switchdev: what stands for a VF is a port of a bridge; older drivers put it below no function."""
    tree.file("/sys/class/net/eth0/phys_switch_id", "9c63c6\n")
    tree.interface("eth0_0", None, switch="9c63c6")
    tree.interface("ovs-system", None, ("eth0_0",), kind="openvswitch", master=True)


USES: dict[Callable[[HostTree], None], tuple[str, str, str]] = {
    vlan: (NIC, "carries VLAN eth0.7", "ip link delete eth0.7"),
    bridged_vlan: (NIC, "carries VLAN eth0.7 and 1 more", "ip link delete eth0.7"),
    bond: (NIC, "member of bond bond0", "ip link set eth0 nomaster"),
    team: (NIC, "member of team team0", "ip link set eth0 nomaster"),
    vrf: (NIC, "member of vrf blue", "ip link set eth0 nomaster"),
    macsec: (NIC, "carries MACsec macsec0", "ip link delete macsec0"),
    ipvlan: (NIC, "carries ipvl0", "ip link delete ipvl0"),
    open_vswitch: (NIC, "member of Open vSwitch ovs-system", "ovs-vsctl del-port eth0"),
    bond_in_open_vswitch: (NIC, "member of bond bond0", "ip link set eth0 nomaster"),
    macvtap: (NIC, "interface of domain web and 1 more", "virsh shutdown web"),
    direct_interface: (NIC, "interface of domain web", "virsh shutdown web"),
    pppoe: (NIC, "carries PPPoE", "ip link set eth0 down"),
    name_space: (NIC, "in another network name space, a container's", "lsns --type net"),
    vdpa: (VF, "vDPA device, driver vhost_vdpa", "vdpa dev del vdpa0"),
    virtio_vdpa: (VF, "route default", "ip link set eth5 down"),
    representor: (NIC, "member of Open vSwitch ovs-system", "ovs-vsctl del-port eth0_0"),
}


@pytest.mark.parametrize("build", USES, ids=lambda build: build.__name__)
def test_the_card_is_the_network_s(build: Callable[[HostTree], None], tree: HostTree) -> None:
    build(tree)
    address, words, remedy = USES[build]
    host = observe(RecordedHost(str(tree.root)))
    device = next(one for one in host.devices if one.address == address)
    assert any(words == user.detail for user in device.users if user.kind is UserKind.NETWORK), device.users
    verdict = device_verdict(device, host)
    assert not verdict.viable
    assert any(stay.remedy.endswith(remedy) for stay in verdict.staying), verdict.staying


def test_what_is_a_vf_s_is_its_card_s_too(tree: HostTree) -> None:
    vdpa(tree)
    host = observe(RecordedHost(str(tree.root)))
    assert [bool(device.users) for device in host.devices] == [True, False, True]


def test_a_shut_off_domain_only_wants_it(tree: HostTree) -> None:
    direct = "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>"
    tree.domain("web", direct, state="shut off")
    host = observe(RecordedHost(str(tree.root)))
    assert [(user.kind, user.name) for user in host.devices[0].users] == [(UserKind.DOMAIN_CONFIG, "web")]
    assert device_verdict(host.devices[1], host).viable


def test_the_other_port_is_free(tree: HostTree) -> None:
    open_vswitch(tree)
    host = observe(RecordedHost(str(tree.root)))
    assert host.devices[1].users == ()
