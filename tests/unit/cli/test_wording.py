import pytest

from gpupass.cli.wording import link_text, short_name, size_text, users_text
from gpupass.model.address import Address
from gpupass.model.host import Device, Link
from gpupass.model.user import User, UserKind


@pytest.mark.parametrize(
    ("name", "class_code", "expected"),
    [
        ("NVIDIA Corporation GA102 [GeForce RTX 3090]", 0x030000, "NVIDIA GeForce RTX 3090"),
        ("NVIDIA Corporation GA102 High Definition Audio Controller", 0x040300, None),
        (
            "Advanced Micro Devices, Inc. [AMD/ATI] Navi 21 [Radeon RX 6900 XT]",
            0x030000,
            "AMD Radeon RX 6900 XT",
        ),
        ("Red Hat, Inc. Virtio GPU", 0x030000, "Red Hat Virtio GPU"),
        ("Samsung Electronics Co Ltd NVMe SSD", 0x010802, "Samsung NVMe SSD"),
        ("", 0x030200, "3D controller 0001:0002"),
        ("", 0xFF0000, "class ff00 0001:0002"),
    ],
)
def test_short_name(name: str, class_code: int, expected: str | None) -> None:
    device = Device(address=Address("0000:01:00.0"), vendor=1, device=2, class_code=class_code, name=name)
    assert short_name(device) == (expected or name.replace(" Corporation", ""))


def test_a_domain_says_more_than_its_qemu_and_its_own_definition() -> None:
    users = (
        User(kind=UserKind.DOMAIN, name="vm1"),
        User(kind=UserKind.DOMAIN_CONFIG, name="vm1"),
        User(kind=UserKind.DOMAIN_CONFIG, name="vm2"),
        User(kind=UserKind.PROCESS, name="qemu-system-x86", pid=4),
    )
    assert users_text(users) == "domain vm1, (vm2)"
    assert users_text(users[3:]) == "qemu-system-x86[4]"
    assert users_text(()) == "-"


def test_a_virtual_machine_that_libvirt_does_not_know() -> None:
    users = (User(kind=UserKind.VM, name="1b4e28ba", detail="vGPU 7"),)
    assert users_text(users) == "VM 1b4e28ba"
    assert users_text(users, detailed=True) == "VM 1b4e28ba (vGPU 7)"


@pytest.mark.parametrize(
    ("size", "text"),
    [(128, "128 bytes"), (4096, "4 KiB"), (1 << 28, "256 MiB"), (3 << 30, "3 GiB"), (1 << 41, "2 TiB")],
)
def test_size(size: int, text: str) -> None:
    assert size_text(size) == text


def test_link() -> None:
    slow = Link(speed="2.5 GT/s PCIe", width=8, max_speed="16.0 GT/s PCIe", max_width=16)
    assert link_text(slow) == "2.5 GT/s x8 (can do 16.0 GT/s x16)"
    assert link_text(None) == ""
