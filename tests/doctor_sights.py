"""Invented sights for the doctor: a host on which all is well, and what is otherwise in a case."""

from typing import Any

from msgspec.structs import replace

from gpupass.doctor.check import Purpose, Sight
from gpupass.model.domain import Domain, DomainState, Port
from gpupass.model.ground import (
    Cpu,
    Distribution,
    Family,
    Firmware,
    FunctionGround,
    Ground,
    Kernel,
    Loader,
    LoaderKind,
    Memory,
    Modules,
    Nvidia,
    Others,
    Own,
    Services,
    Virtualisation,
)
from gpupass.model.host import Acs, Bar, Detail, Device, Host, Iommu, Link, Sriov

GPU, AUDIO, NIC, IGD = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:00:02.0"
LINK = Link(speed="16.0 GT/s PCIe", width=16, max_speed="16.0 GT/s PCIe", max_width=16)
DETAIL = Detail(
    reset_methods=("flr", "bus"),
    link=LINK,
    acs=Acs.ENABLED,
    numa_node=0,
    power_state="D0",
    runtime_status="active",
)
DEVICES = {
    GPU: Device(
        address=GPU,
        vendor=0x10DE,
        device=0x2204,
        class_code=0x030000,
        driver="nvidia",
        group=1,
        detail=DETAIL,
    ),
    AUDIO: Device(
        address=AUDIO,
        vendor=0x10DE,
        device=0x1AEF,
        class_code=0x040300,
        driver="snd_hda_intel",
        group=1,
        detail=DETAIL,
    ),
    NIC: Device(
        address=NIC, vendor=0x8086, device=0x1592, class_code=0x020000, driver="ice", group=2, detail=DETAIL
    ),
}
GROUND = Ground(
    as_root=True,
    distribution=Distribution(
        family=Family.DEBIAN, id="debian", version="13", name="Debian GNU/Linux 13 (trixie)"
    ),
    loader=Loader(
        kind=LoaderKind.UPDATE_GRUB, files=("/etc/default/grub",), words=("quiet",), made=("ro", "quiet")
    ),
    cpu=Cpu(vendor="GenuineIntel", virtual=True, physical_bits=46),
    firmware=Firmware(efi=True, secure_boot=False, tables=("DMAR",)),
    kernel=Kernel(release="6.12.117-amd64", words=("ro", "quiet"), lockdown="none", said=()),
    modules=Modules(
        loaded=frozenset({"vfio", "vfio_pci", "vfio_iommu_type1", "kvm", "kvm_intel", "nvidia"}),
        parameters={"vfio_iommu_type1.dma_entry_limit": "65535"},
    ),
    services=Services(sockets=frozenset({"libvirtd"}), active=frozenset({"libvirtd.service"})),
    virtualisation=Virtualisation(libvirt=(11, 3, 0), qemu=(10, 0, 2), kvm=True),
    memory=Memory(transparent="madvise"),
    functions=(
        FunctionGround(address=GPU, unbind_lock=True),
        FunctionGround(address=AUDIO),
        FunctionGround(address=NIC),
    ),
    others=Others(),
    nvidia=Nvidia(version="550.163.01", open=True, gsp=True),
    own=Own(),
)
HOST = Host(
    devices=tuple(DEVICES.values()),
    iommu=Iommu(enabled=True, interrupt_remapping=True),
    kernel=GROUND.kernel.release,
    available_memory=64 << 30,
)
DOMAIN = Domain(
    name="vm1",
    uuid="00000000-0000-4000-8000-000000000001",
    state=DomainState.RUNNING,
    machine="pc-q35-10.0",
    memory=8 << 20,
    ports=(Port(index=5, hotplug=True, occupied=False, memory_window=1 << 21, prefetchable_window=1 << 36),),
)
CARD = Bar(index=1, size=32 << 30, prefetchable=True, is_64bit=True)
PF = Sriov(total=16, enabled=0, autoprobe=False)


def sight(changes: dict[str, Any] | None = None) -> Sight:
    """`changes` by a dotted path: "cpu.virtual" of the ground, "iommu.enabled" of the host, "gpu.driver",
    "gpu.detail.bars", "audio.…", "function.low" (the GPU's), "devices" (more of them), "domain.…"."""
    host, ground, purposes = HOST, GROUND, frozenset[Purpose]()
    for path, value in (changes or {}).items():
        first, _, rest = path.partition(".")
        if first in ("gpu", "audio", "nic"):
            address = {"gpu": GPU, "audio": AUDIO, "nic": NIC}[first]
            device = host.device(address)
            assert device is not None
            host = host.with_device(_changed(device, rest, value))
        elif first == "function":
            functions = tuple(
                _changed(one, rest, value) if one.address == GPU else one for one in ground.functions or ()
            )
            ground = replace(ground, functions=functions)
        elif first == "domain":
            host = replace(host, domains=(_changed((*host.domains, DOMAIN)[0], rest, value),))
        elif first == "devices":
            host = replace(host, devices=(*host.devices, *value))
        elif first == "purposes":
            purposes = frozenset({Purpose(value)})
        elif first in Host.__struct_fields__ and first not in ("kernel", "libvirt"):
            host = _changed(host, path, value)
        else:
            ground = _changed(ground, path, value)
    return Sight(host=host, ground=ground, purposes=purposes)


def _changed(of: Any, path: str, value: Any) -> Any:
    first, _, rest = path.partition(".")
    if not first:
        return of
    return replace(of, **{first: _changed(getattr(of, first), rest, value) if rest else value})
