"""The machine of topology slices by itself: that the stand-in of the driver nvidia behaves as NVIDIA's, and mdevs too."""

import errno
import os

import pytest

pytestmark = pytest.mark.lab

CARD, OTHER, DISPLAY = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
HEADER = "ID    : vGPU Name"
C4, C8, C16 = "468 : NVIDIA A100-4C", "469 : NVIDIA A100-8C", "471 : NVIDIA A100-16C"
C5, C10, C20 = "474 : NVIDIA A100-1-5C", "475 : NVIDIA A100-2-10C", "476 : NVIDIA A100-3-20C"
PROFILES = {C5: 19, C10: 14, C20: 9}
MANAGE = "/usr/lib/nvidia/sriov-manage"
UUID = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"


class Files:
    """Sysfs and procfs of the machine as its own shell reads and writes them."""

    def __init__(self, host):
        self.host = host

    def read(self, path):
        return self.host.sh(f"cat {path}").splitlines()

    def why_not(self, command):
        """The errno a failed write or read said, 0 when there was none."""
        out = self.host.sh(f"({command}) 2>&1 >/dev/null || true", code=None)
        known = (n for n in errno.errorcode if out.strip().endswith(os.strerror(n)))
        return next(known, 0) if out.strip() else 0

    def write(self, path, value):
        return self.why_not(f"printf '{value}' > {path}")


class Vgpus(Files):
    """The virtual functions of the first card."""

    def path(self, number, name):
        return f"/sys/bus/pci/devices/{CARD}/virtfn{number}/nvidia/{name}"

    def address(self, number):
        return self.host.sh(f"basename $(readlink /sys/bus/pci/devices/{CARD}/virtfn{number})").strip()

    def current(self, number):
        return self.read(self.path(number, "current_vgpu_type"))[0]

    def make(self, number, kind):
        return self.write(self.path(number, "current_vgpu_type"), kind)

    def creatable(self, number):
        header, *types = self.read(self.path(number, "creatable_vgpu_types"))
        assert header == HEADER
        return types


@pytest.fixture
def vgpus(slices):
    slices.sh(f"{MANAGE} -e {CARD}")
    return Vgpus(slices)


def card(name, address=CARD):
    return f"/sys/module/nvidia_standin/cards/{address}/{name}"


def pci(address, driver="no"):
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    where = f"domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'"
    return f"<hostdev mode='subsystem' type='pci' managed='{driver}'><source><address {where}/></source></hostdev>"


def virsh(host, verb, domain, xml, code=0):
    """attach-device or detach-device; all it said."""
    return host.sh(
        f'cat > /root/device.xml <<"END"\n{xml}\nEND\nvirsh {verb} {domain} /root/device.xml 2>&1', code=code
    )


def test_functions_are_made_by_sriov_manage_only(slices):
    files = Files(slices)
    device = f"/sys/bus/pci/devices/{CARD}"
    assert slices.driver(CARD) == slices.driver(OTHER) == "nvidia"
    assert files.write(f"{device}/sriov_numvfs", "4") == errno.ENOENT
    assert "Enabling VFs on" in slices.sh(f"{MANAGE} -e ALL")
    assert slices.sh("lspci -Dnk -d 8086:10ca | grep -c 'in use: nvidia'").strip() == "16"
    assert files.read(f"{device}/virtfn7/driver_override") == ["nvidia"]
    assert slices.driver(CARD) == "nvidia"
    assert "already has VFs" in slices.sh(f"{MANAGE} -e {CARD}")
    slices.sh(f"{MANAGE} -d {CARD}")
    assert files.read(f"{device}/sriov_numvfs") == ["0"] and slices.driver(CARD) == "nvidia"
    assert files.read(f"/sys/bus/pci/devices/{OTHER}/sriov_numvfs") == ["8"]
    slices.sh(f"exec 3</dev/nvidia1; ! {MANAGE} -d {OTHER}")
    assert files.read(f"/sys/bus/pci/devices/{OTHER}/sriov_numvfs") == ["8"]


def test_equal_sizes_share_a_card_until_it_is_full(vgpus):
    assert vgpus.creatable(0) == [C4, C8, C16] and vgpus.current(0) == "0"
    for name in ("placement_id", "gpu_instance_id"):
        assert vgpus.why_not(f"cat {vgpus.path(0, name)}") == errno.ENXIO
    assert vgpus.make(0, "999") == vgpus.make(0, "A100-4C") == errno.EINVAL
    assert vgpus.make(0, "468") == 0
    assert vgpus.creatable(0) == [] and vgpus.creatable(1) == [C4]
    assert vgpus.read(vgpus.path(0, "placement_id")) == ["0"]
    assert vgpus.make(0, "468") == vgpus.make(0, "469") == errno.EBUSY
    assert vgpus.make(1, "469") == errno.EINVAL
    assert [vgpus.make(number, "468") for number in (1, 2, 3)] == [0, 0, 0]
    assert vgpus.creatable(4) == [] and vgpus.make(4, "468") == errno.ENOSPC
    assert vgpus.write(card("heterogeneous"), "1") == errno.EBUSY
    assert vgpus.make(2, "0") == vgpus.make(2, "0") == 0
    assert vgpus.creatable(4) == [C4] and vgpus.make(4, "468") == 0
    assert vgpus.read(vgpus.path(4, "placement_id")) == ["2"]
    vgpus.host.sh(f"{MANAGE} -e {OTHER}")
    assert vgpus.read(f"/sys/bus/pci/devices/{OTHER}/virtfn0/nvidia/creatable_vgpu_types")[1:] == [
        C4,
        C8,
        C16,
    ]


def test_mixed_sizes_are_for_a_card_without_vgpus_and_end_with_its_functions(vgpus):
    assert vgpus.write(card("heterogeneous"), "1") == 0
    assert vgpus.make(0, "468") == 0
    assert vgpus.creatable(1) == [C4, C8]
    assert vgpus.make(1, "469") == 0 and vgpus.read(vgpus.path(1, "placement_id")) == ["2"]
    assert vgpus.creatable(2) == [C4] and vgpus.make(2, "469") == errno.ENOSPC
    assert vgpus.write(card("heterogeneous"), "0") == errno.EBUSY
    vgpus.host.sh(f"{MANAGE} -d {CARD}; {MANAGE} -e {CARD}")
    assert vgpus.read(card("heterogeneous")) == ["0"] and vgpus.current(0) == "0"


class Cut(Vgpus):
    """The first card in MIG mode: GPU instances by id."""

    def tell(self, name, value):
        return self.write(card(name), value)

    def instance(self, number, kind):
        return self.tell("create_gpu_instance", f"{number} {PROFILES[kind]}")


@pytest.fixture
def mig(vgpus):
    made = Cut(vgpus.host)
    assert made.instance(1, C20) == errno.EOPNOTSUPP
    assert made.tell("mig_mode", "1") == 0
    return made


def test_in_mig_mode_every_vgpu_takes_a_gpu_instance(mig):
    assert mig.creatable(0) == [] and mig.tell("heterogeneous", "1") == errno.EOPNOTSUPP
    assert [mig.instance(number, kind) for number, kind in ((1, C20), (3, C10), (4, C5), (5, C5))] == [0] * 4
    assert mig.instance(5, C10) == errno.EEXIST
    assert mig.creatable(0) == [C5, C10, C20]
    assert mig.make(0, "468") == errno.EINVAL and mig.make(0, "476") == 0
    assert mig.read(mig.path(0, "gpu_instance_id")) == ["1"]
    assert mig.creatable(0) == [] and mig.creatable(1) == [C5, C10] and mig.make(1, "476") == errno.ENOSPC
    assert [mig.make(number, "474") for number in (1, 2, 3)] == [0, 0, errno.ENOSPC]
    assert mig.creatable(3) == [C10]
    assert mig.tell("destroy_gpu_instance", "1") == errno.EBUSY
    assert mig.tell("destroy_gpu_instance", "2") == errno.ENOENT
    assert mig.tell("destroy_gpu_instance", "3") == 0 and mig.creatable(3) == []
    mig.make(0, "0")
    assert mig.tell("destroy_gpu_instance", "1") == 0
    assert sorted(mig.read(card("gpu_instances"))) == ["4 19", "5 19"]


def test_mig_mode_outlives_the_virtual_functions_and_gpu_instances_do_not(mig):
    mig.instance(1, C20)
    mig.make(0, "476")
    assert mig.tell("mig_mode", "0") == errno.EBUSY and mig.tell("mig_mode", "1") == 0
    mig.make(0, "0")
    assert mig.tell("mig_mode", "0") == errno.EBUSY, "there are functions"
    mig.host.sh(f"{MANAGE} -d {CARD}")
    assert mig.read(card("mig_mode")) == ["1"] and mig.read(card("gpu_instances")) == []
    mig.instance(1, C20)
    mig.host.sh(f"{MANAGE} -e {CARD}")
    assert mig.read(card("mig_mode")) == ["1"] and mig.creatable(0) == []
    mig.host.sh(f"{MANAGE} -d {CARD}")
    assert mig.tell("mig_mode", "0") == 0
    mig.host.sh(f"{MANAGE} -e {CARD}")
    assert mig.creatable(0) == [C4, C8, C16] and mig.make(0, "468") == 0
    assert mig.tell("mig_mode", "1") == errno.EBUSY


def test_two_writers_at_once_never_get_more_than_there_is(vgpus):
    """Eight functions, room for four: exactly four get one, every time."""
    files = [vgpus.path(number, "current_vgpu_type") for number in range(8)]
    script = f"""
        files='{" ".join(files)}'
        for round in $(seq 20); do
            for file in $files; do echo 468 > $file & done 2>/dev/null; wait
            cat $files | grep -c 468
            cat {card("vgpus")}
            for file in $files; do echo 0 > $file; done
        done 2>/dev/null"""
    assert vgpus.host.sh(script).split() == ["4"] * 40


def test_parameters_belong_to_a_vgpu(vgpus):
    file = vgpus.path(0, "vgpu_params")
    assert vgpus.write(file, "frame_rate_limiter=0") == errno.ENXIO
    vgpus.make(0, "468")
    assert vgpus.write(file, "frame_rate_limiter=0,disable_vnc=1") == 0
    assert vgpus.write(file, "frame_rate_limiter=1") == 0
    assert vgpus.read(file) == ["frame_rate_limiter=1,disable_vnc=1"]
    assert vgpus.write(file, "frame_rate_limiter") == vgpus.write(file, "\\n") == errno.EINVAL
    assert vgpus.write(file, " ") == 0 and vgpus.read(file) == [""]
    vgpus.write(file, "a=1 b=2")
    vgpus.make(0, "0")
    vgpus.make(0, "468")
    assert vgpus.read(file) == [""]


def test_a_vgpu_goes_to_a_running_guest_and_is_locked_meanwhile(vgpus):
    host, vf = vgpus.host, vgpus.address(0)
    without = virsh(host, "attach-device", "vm1", pci(vf), code=1)
    assert f"vfio {vf}: error getting device from group" in without and "No such device" in without
    assert vgpus.make(0, "468") == 0
    virsh(host, "attach-device", "vm1", pci(vf))
    assert host.hostdevs("vm1") == {vf} and host.driver(vf) == "nvidia"
    assert vgpus.read(card("open")) == ["1"]
    assert vgpus.make(0, "0") == vgpus.write(vgpus.path(0, "vgpu_params"), "a=1") == errno.EPERM
    assert vgpus.make(0, "469") == errno.EBUSY and vgpus.current(0) == "468"
    assert "is in use by driver QEMU, domain vm1" in virsh(host, "attach-device", "vm2", pci(vf), code=1)
    said = host.sh(f"{MANAGE} -d {CARD} 2>&1", code=1)
    assert f"Cannot obtain unbindLock for {CARD}" in said and vgpus.current(0) == "468"
    virsh(host, "detach-device", "vm1", pci(vf))
    assert host.hostdevs("vm1") == set() and vgpus.read(card("open")) == ["0"]
    virsh(host, "attach-device", "vm2", pci(vf))
    assert host.hostdevs("vm2") == {vf}
    virsh(host, "detach-device", "vm2", pci(vf))
    assert vgpus.make(0, "0") == 0 and vgpus.current(0) == "0"


def test_a_guest_that_is_killed_lets_go(vgpus):
    host, vf = vgpus.host, vgpus.address(0)
    vgpus.make(0, "468")
    virsh(host, "attach-device", "vm1", pci(vf))
    host.sh("virsh destroy vm1")
    assert vgpus.read(card("open")) == ["0"] and vgpus.current(0) == "468"
    assert vgpus.make(0, "0") == 0


def test_a_whole_gpu_under_the_stand_in(slices):
    files, lock = Files(slices), f"/proc/driver/nvidia/gpus/{DISPLAY}/unbindLock"
    device = f"/sys/bus/pci/devices/{DISPLAY}"
    assert slices.driver(DISPLAY) == "bochs-drm"
    bind = f"echo nvidia > {device}/driver_override; echo {DISPLAY} > /sys/bus/pci/drivers_probe"
    slices.sh(f"echo {DISPLAY} > {device}/driver/unbind; {bind}")
    lines = files.read(f"/proc/driver/nvidia/gpus/{DISPLAY}/information")
    told = {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}
    assert told["Model"] == "NVIDIA A100-SXM4-40GB" and told["Bus Location"] == DISPLAY
    assert told["GPU UUID"] == "GPU-00000000-0000-4000-8000-000000000300" and told["Device Minor"] == "2"
    assert slices.sh(f"exec 3</dev/nvidia2; echo 1 > {lock}; cat {lock}") == "0\n"
    assert slices.sh(f"echo 1 > {lock}; cat {lock}") == "1\n"
    assert files.why_not("true < /dev/nvidia2") == errno.EBUSY
    assert slices.sh(f"echo 0 > {lock}; cat {lock}; true < /dev/nvidia2") == "0\n"
    # As NVIDIA's, it waits for ever for whoever has it open.
    slices.sh(f"sleep 600 < /dev/nvidia2 & holder=$!; sleep 0.2; echo {DISPLAY} > {device}/driver/unbind & sleep 2; "
              f"[ -e /proc/driver/nvidia/gpus/{DISPLAY} ] && kill -0 $! && kill $holder && wait $!")  # fmt: skip
    assert slices.driver(DISPLAY) == "" and not slices.sh(
        f"ls /proc/driver/nvidia/gpus | grep {DISPLAY} || true"
    )
    slices.sh(bind)
    assert slices.driver(DISPLAY) == "nvidia"


def test_a_mediated_display_moves_between_guests(slices):
    files, types = Files(slices), "/sys/class/mdev_bus/mbochs/mdev_supported_types"
    xml = f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{UUID}'/></source></hostdev>"
    count = {kind: files.read(f"{types}/mbochs-{kind}/available_instances")[0] for kind in ("small", "large")}
    assert count == {"small": "64", "large": "4"}
    assert files.write(f"{types}/mbochs-small/create", UUID) == 0
    assert files.write(f"{types}/mbochs-small/create", UUID) == errno.EEXIST
    assert files.read(f"{types}/mbochs-small/available_instances") == ["63"]
    assert slices.sh(f"basename $(readlink /sys/bus/mdev/devices/{UUID}/mdev_type)") == "mbochs-small\n"
    virsh(slices, "attach-device", "vm1", xml)
    assert UUID in slices.sh("virsh dumpxml vm1")
    assert "is in use by driver QEMU, domain vm1" in virsh(slices, "attach-device", "vm2", xml, code=1)
    virsh(slices, "detach-device", "vm1", xml)
    virsh(slices, "attach-device", "vm2", xml)
    # Nothing refuses a removal while a guest has it: the writer waits until the guest has let go.
    slices.sh(f"echo 1 > /sys/bus/mdev/devices/{UUID}/remove & sleep 2; "
              f"kill -0 $! && cat > /root/device.xml <<'END'\n{xml}\nEND\n"
              "virsh detach-device vm2 /root/device.xml && wait $!")  # fmt: skip
    assert UUID not in slices.sh("virsh dumpxml vm2") and not slices.sh("ls /sys/bus/mdev/devices")
    assert files.read(f"{types}/mbochs-small/available_instances") == ["64"]
