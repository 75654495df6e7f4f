"""Whose a process is: by its control group from the top, which its own user cannot forge."""

from pathlib import Path

import pytest

from gpupass.model.domain import Domain, DomainState
from gpupass.model.remedies import remedy
from gpupass.model.user import Holder, UserKind
from gpupass.observe import observe
from gpupass.observe.owners import Owner, read_owner
from gpupass.observe.proxmox import Machine, read_machines
from gpupass.observe.recording import record_host
from gpupass.system import RecordedHost
from tests.host_tree import Function, HostTree

ID = "0123456789ab" * 5 + "cdef"
POD = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f.slice"
USER = "/user.slice/user-1000.slice/user@1000.service"
CGROUPS = {
    "/system.slice/sddm.service": (Holder.UNIT, "sddm.service"),
    "/system.slice/system-getty.slice/getty@tty1.service": (Holder.UNIT, "getty@tty1.service"),
    "/user.slice/user-1000.slice/session-4.scope": (Holder.PROCESS, "4"),
    f"{USER}/session.slice/pipewire.service": (Holder.USER_UNIT, "1000 pipewire.socket pipewire.service"),
    f"{USER}/app.slice/app-steam.scope": (Holder.USER_UNIT, "1000 app-steam.scope"),
    f"/system.slice/docker-{ID}.scope": (Holder.DOCKER, "ollama"),
    f"/docker/{ID}": (Holder.DOCKER, "ollama"),
    f"/machine.slice/libpod-{ID}.scope/container": (Holder.PODMAN, "web"),
    f"{POD}/cri-containerd-{ID}.scope": (Holder.KUBERNETES, ID[:12]),
    f"{POD}/crio-{ID}.scope": (Holder.KUBERNETES, ID[:12]),
    f"/kubepods/besteffort/pod1f/{ID}": (Holder.KUBERNETES, ID[:12]),
    f"/system.slice/containerd.service/kubepods-besteffort-pod1f.slice:cri-containerd:{ID}": (
        Holder.KUBERNETES,
        ID[:12],
    ),
    "/system.slice/slurmstepd.scope/job_12/step_0/user/task_0": (Holder.SLURM, "12"),
    "/slurm/uid_1000/job_12/step_0": (Holder.SLURM, "12"),
    "/lxc.payload.media": (Holder.LXC, "media"),
    "/lxc/media/ns/init.scope": (Holder.LXC, "media"),
    "/machine.slice/systemd-nspawn@box.service/payload": (Holder.NSPAWN, "box"),
    r"/machine.slice/machine-qemu\x2d1\x2dvm1.scope/libvirt/emulator": (Holder.DOMAIN, "vm1"),
    r"/machine.slice/machine-qemu\x2d12\x2dmyvm.scope": (Holder.DOMAIN, "my vm"),
    "/machine/qemu-1-vm1.libvirt-qemu/emulator": (Holder.DOMAIN, "vm1"),
    "/qemu.slice/100.scope": (Holder.PROXMOX, "100"),
    "/": (Holder.NOBODY, ""),
    "/init.scope": (Holder.NOBODY, ""),
    # what a user names below his own slice is his own
    f"{USER}/app.slice/docker-{ID}.scope": (Holder.USER_UNIT, f"1000 docker-{ID}.scope"),
    f"{USER}/machine.slice/machine-qemu\\x2d1\\x2dvm1.scope": (
        Holder.USER_UNIT,
        r"1000 machine-qemu\x2d1\x2dvm1.scope",
    ),
    f"{USER}/x; reboot.service": (Holder.NOBODY, ""),
}


def _domain(name: str) -> Domain:
    return Domain(name=name, uuid="u", state=DomainState.RUNNING)


def _owner(root: Path, cgroup: str, name: str = "python3", *words: str) -> Owner:
    tree = HostTree(root)
    tree.file("/proc/7/cgroup", f"0::{cgroup}\n")
    tree.file("/proc/7/cmdline", "\0".join(words))
    tree.file(
        f"/var/lib/docker/containers/{ID}/config.v2.json", '{"Name":"/ollama","Config":{"Env":["A=1"]}}'
    )
    podman = "/var/lib/containers/storage/overlay-containers/containers.json"
    tree.file(podman, f'[{{"id":"{ID}","names":["web"]}}]')
    machines = (Machine(id="100", name="games"),)
    return read_owner(RecordedHost(root), 7, name, (_domain("my vm"), _domain("vm1")), machines)


@pytest.mark.parametrize("cgroup", CGROUPS)
def test_by_its_control_group(cgroup: str, tmp_path: Path) -> None:
    owner = _owner(tmp_path, cgroup)
    assert (owner.holder, owner.handle) == CGROUPS[cgroup]


def test_before_the_unified_hierarchy(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.file("/proc/7/cgroup", "5:devices:/x\n1:name=systemd:/system.slice/sddm.service\n0::/\n")
    assert read_owner(RecordedHost(tmp_path), 7, "Xorg").handle == "sddm.service"


@pytest.mark.parametrize(
    ("path", "holder"),
    [
        ("/etc/pve", Holder.PROXMOX_CONTAINER),
        ("/var/lib/incus", Holder.INCUS),
        ("/var/snap/lxd", Holder.LXD),
    ],
)
def test_whose_lxc_it_is(path: str, holder: Holder, tmp_path: Path) -> None:
    HostTree(tmp_path).file(f"{path}/x", "")
    assert _owner(tmp_path, "/lxc.payload.101").holder is holder


def test_what_draws_a_session_ends_with_it(tmp_path: Path) -> None:
    owner = _owner(tmp_path, "/user.slice/user-1000.slice/session-2.scope", "gnome-shell")
    assert (owner.holder, owner.handle) == (Holder.DESKTOP, "2")


@pytest.mark.parametrize(
    "cgroup", ["/", "/user.slice/user-0.slice/session-1.scope", f"{USER}/app.slice/a.scope"]
)
def test_a_qemu_by_hand_is_named_and_never_killed(cgroup: str, tmp_path: Path) -> None:
    owner = _owner(
        tmp_path, cgroup, "qemu-system-x86", "qemu-system-x86_64", "-name", "guest=lab,x=y", "-id", "1"
    )
    assert (owner.holder, owner.words) == (Holder.QEMU, "VM lab")


def test_a_qemu_in_a_service_or_pod_is_theirs(tmp_path: Path) -> None:
    assert _owner(tmp_path, "/system.slice/vm@a.service", "qemu-system-x86").holder is Holder.UNIT


@pytest.mark.parametrize("name", ["cloud-hypervis", "crosvm", "firecracker"])
def test_no_guest_is_killed_whoever_runs_it(name: str, tmp_path: Path) -> None:
    assert _owner(tmp_path, "/user.slice/user-0.slice/session-1.scope", name).holder is Holder.QEMU


@pytest.mark.parametrize(
    ("unit", "holder"), [("incus.service", Holder.INCUS), ("snap.lxd.daemon.service", Holder.LXD)]
)
def test_a_manager_s_guest_is_named_not_the_manager(unit: str, holder: Holder, tmp_path: Path) -> None:
    """Its service stopped, the QEMU goes on."""
    words = ("qemu-system-x86_64", "-S", "-name", "web")
    owner = _owner(tmp_path, f"/system.slice/{unit}", "qemu-system-x86", *words)
    assert (owner.holder, owner.handle) == (holder, "web")
    assert _owner(tmp_path, f"/system.slice/{unit}", "incusd").holder is Holder.UNIT


# ── Proxmox VE ─────────────────────────────────────────────────────────────────────────────────────────────

GPU, AUDIO, OTHER = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0"


def _proxmox(root: Path) -> HostTree:
    tree = HostTree(root)
    tree.kernel()
    tree.iommu()
    for group, address in enumerate((GPU, AUDIO, OTHER)):
        tree.function(
            Function(
                address=address, ids="10de:2204", class_code=0x030000, driver="vfio-pci", group=1 + group // 2
            )
        )
    tree.file(
        "/etc/pve/qemu-server/100.conf",
        "name: games\nhostpci0: 0000:01:00,pcie=1,x-vga=1\n[before]\nhostpci1: 0000:02:00.0\n",
    )
    tree.file("/etc/pve/qemu-server/101.conf", "name: ai\nhostpci0: mapping=card,pcie=1\n")
    tree.file(
        "/etc/pve/mapping/pci.cfg",
        "card\n\tmap id=10de:2204,iommugroup=2,node=pve1,path=0000:02:00.0,subsystem-id=1\n",
    )
    return tree


def test_machines_and_their_devices(tmp_path: Path) -> None:
    _proxmox(tmp_path)
    assert read_machines(RecordedHost(tmp_path)) == (
        Machine(id="100", name="games", devices=(("hostpci0", "0000:01:00"),)),
        Machine(id="101", name="ai", devices=(("hostpci0", OTHER),)),
    )


def test_who_runs_has_it_and_who_does_not_wants_it(tmp_path: Path) -> None:
    tree = _proxmox(tmp_path)
    tree.file("/proc/4242/cgroup", "0::/qemu.slice/100.scope\n")
    tree.answers("holders", {"holders": [{"pid": 4242, "name": "kvm", "node": "/dev/vfio/1"}], "unseen": []})
    host = observe(RecordedHost(tmp_path))
    (user,), _, (wants,) = (device.users for device in host.devices)
    assert (user.kind, user.handle) == (UserKind.PROCESS, "100") and "Proxmox VM 100 (games)" in user.detail
    assert remedy(user, GPU) == "shut the VM down: qm shutdown 100"
    assert (wants.kind, wants.name, wants.detail) == (UserKind.DOMAIN_CONFIG, "Proxmox VM 101", "ai")
    assert remedy(wants, OTHER) == "take it out of that VM: qm set 101 --delete hostpci0"


def test_a_record_keeps_whose_it_is_and_nothing_else(tmp_path: Path) -> None:
    tree = _proxmox(tmp_path / "host")
    tree.file("/etc/pve/qemu-server/102.conf", "name: x\ncipassword: hunter2\nhostpci0: 01:00\n")
    tree.file("/proc/8/cgroup", f"0::/system.slice/docker-{ID}.scope\n")
    tree.file(
        f"/var/lib/docker/containers/{ID}/config.v2.json", '{"Name":"/ollama","Config":{"Env":["hunter2"]}}'
    )
    tree.file("/proc/9/cgroup", "0::/\n")
    tree.file("/proc/9/cmdline", "qemu\0-name\0lab\0-object\0secret,data=hunter2")
    held = [
        {"pid": 8, "name": "ollama", "node": "/dev/vfio/1"},
        {"pid": 9, "name": "qemu-system-x86", "node": "/dev/vfio/2"},
    ]
    tree.answers("holders", {"holders": held, "unseen": []})
    record_host(RecordedHost(tmp_path / "host"), tmp_path / "copy", "qemu:///system")
    first, copy = (observe(RecordedHost(tmp_path / name)) for name in ("host", "copy"))
    assert [device.users for device in copy.devices] == [device.users for device in first.devices]
    texts = [path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert not any(b"hunter2" in text for text in texts)


# ── the kernel itself ──────────────────────────────────────────────────────────────────────────────────────


def _display(root: Path, driver: str | None = "nvidia") -> HostTree:
    tree = HostTree(root)
    tree.function(Function(address=GPU, ids="10de:2204", class_code=0x030000, driver=driver, group=1))
    return tree


@pytest.mark.parametrize("name", ["BOOTFB", "simpledrm", "efifb", "simplefb", "vesafb"])
def test_a_firmware_s_framebuffer(name: str, tmp_path: Path) -> None:
    tree = _display(tmp_path, None)
    tree.file("/proc/iomem", f"00000000-0 : PCI Bus 0000:01\n  00000000-0 : {GPU}\n    00000000-0 : {name}\n")
    tree.file("/sys/bus/platform/drivers/efi-framebuffer/efi-framebuffer.0/uevent", "")
    (user,) = observe(RecordedHost(tmp_path)).devices[0].users
    assert name in user.detail
    assert remedy(user, GPU).endswith(
        "echo efi-framebuffer.0 > /sys/bus/platform/drivers/efi-framebuffer/unbind"
    )


def test_the_console_of_a_driver(tmp_path: Path) -> None:
    tree = _display(tmp_path)
    tree.file(f"{tree.path(GPU)}/graphics/fb0/name", "nvidia-drmdrmfb\n")
    tree.link("/sys/class/graphics/fb0", f"{tree.path(GPU)}/graphics/fb0")
    tree.file("/sys/devices/virtual/vtconsole/vtcon1/name", "(M) frame buffer device\n")
    tree.file("/sys/devices/virtual/vtconsole/vtcon1/bind", "1\n")
    tree.link("/sys/class/vtconsole/vtcon1", "/sys/devices/virtual/vtconsole/vtcon1")
    host = RecordedHost(tmp_path)
    (user,) = observe(host).devices[0].users
    assert (user.holder, user.handle, user.detail) == (Holder.CONSOLE, "vtcon1", "fb0, nvidia-drmdrmfb")
    again = tmp_path.with_name("again")
    record_host(host, again, "qemu:///system")
    assert observe(RecordedHost(again)).devices[0].users == (user,)


def test_nvidia_s_modesetting(tmp_path: Path) -> None:
    _display(tmp_path).file("/sys/module/nvidia_drm/parameters/modeset", "Y\n")
    (user,) = observe(RecordedHost(tmp_path)).devices[0].users
    assert (user.name, user.holder) == ("nvidia_drm", Holder.MODULE)


@pytest.mark.parametrize(
    ("kind", "node", "below"),
    [
        ("sound", "/dev/snd/pcmC1D3p", "sound/card1/pcmC1D3p"),
        ("i2c-dev", "/dev/i2c-4", "i2c-4/i2c-dev/i2c-4"),
        ("infiniband_verbs", "/dev/infiniband/uverbs0", "infiniband_verbs/uverbs0"),
        ("uio", "/dev/uio0", "uio/uio0"),
        ("graphics", "/dev/fb0", "graphics/fb0"),
        ("nvme-generic", "/dev/ng0n1", "nvme/nvme0/ng0n1"),
        ("nvme", "/dev/nvme0", "nvme/nvme0"),
        ("accel", "/dev/accel/accel0", "accel/accel0"),
        ("drm", "/dev/dri/renderD128", "drm/renderD128"),
        ("vfio-dev", "/dev/vfio/devices/vfio0", "vfio-dev/vfio0"),
        ("scsi_generic", "/dev/sg0", "ata1/host0/target0:0:0/0:0:0:0/scsi_generic/sg0"),
        ("bsg", "/dev/bsg/0:0:0:0", "ata1/host0/target0:0:0/0:0:0:0/bsg/0:0:0:0"),
        ("block", "/dev/sda", "ata1/host0/target0:0:0/0:0:0:0/block/sda"),
        ("ptp", "/dev/ptp0", "ptp/ptp0"),
    ],
)
def test_nodes_of_other_classes(kind: str, node: str, below: str, tmp_path: Path) -> None:
    tree = _display(tmp_path)
    tree.file(f"{tree.path(GPU)}/{below}/uevent", "")
    tree.link(f"/sys/class/{kind}/{node.rpartition('/')[2]}", f"{tree.path(GPU)}/{below}")
    tree.answers("holders", {"holders": [{"pid": 7, "name": "x", "node": node}], "unseen": []})
    assert [user.pid for user in observe(RecordedHost(tmp_path)).devices[0].users] == [7]


def test_what_can_be_pulled_out_holds_nothing(tmp_path: Path) -> None:
    tree = _display(tmp_path)
    path = f"{tree.path(GPU)}/usb1/1-4/1-4:1.0/sound/card2/controlC2"
    tree.file(f"{path}/uevent", "")
    tree.link("/sys/class/sound/controlC2", path)
    tree.answers(
        "holders", {"holders": [{"pid": 7, "name": "x", "node": "/dev/snd/controlC2"}], "unseen": []}
    )
    assert observe(RecordedHost(tmp_path)).devices[0].users == ()


def test_a_domain_that_draws_is_named_to_who_sees_no_processes(tmp_path: Path) -> None:
    tree = _display(tmp_path, "amdgpu")
    tree.file(f"{tree.path(GPU)}/drm/renderD129/uevent", "")
    tree.link("/sys/class/drm/renderD129", f"{tree.path(GPU)}/drm/renderD129")
    tree.domain("web", "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD129'/></graphics>")
    (user,) = observe(RecordedHost(tmp_path)).devices[0].users
    assert remedy(user, GPU) == "shut the domain down: virsh shutdown web"
