"""Device files of the GPU and VFIO drivers, and which GPU or GPU instance each belongs to."""

import re

from gpupass.model.address import parse_address
from gpupass.model.nodes import DrmNode, MigMinor, Nodes
from gpupass.observe.number import number
from gpupass.system import Reader

MIG_MINORS = "/proc/driver/nvidia-caps/mig-minors"
_DIRECTORIES = (
    ("/dev", re.compile(r"nvidia([0-9]+|ctl|-uvm|-uvm-tools|-modeset)|kfd")),
    ("/dev/nvidia-caps", re.compile(r"nvidia-cap[0-9]+")),
    ("/dev/dri", re.compile(r"card[0-9]+|renderD[0-9]+")),
    ("/dev/vfio", re.compile(r"vfio|[0-9]+")),
)
_DRM = re.compile(r"card[0-9]+|renderD[0-9]+")
_MINOR = re.compile(r"(gpu[0-9]+/gi[0-9]+(?:/ci[0-9]+)?/access) ([0-9]+)")


def read_nodes(system: Reader) -> Nodes:
    return Nodes(
        present=frozenset(
            f"{directory}/{name}"
            for directory, wanted in _DIRECTORIES
            for name in system.names(directory)
            if wanted.fullmatch(name)
        ),
        mig=tuple(
            MigMinor(name=found[1], minor=number(found[2]) or 0)
            for line in (system.read(MIG_MINORS) or "").splitlines()
            if (found := _MINOR.fullmatch(line.strip())) is not None
        ),
        drm=tuple(
            DrmNode(name=name, address=address)
            for name in system.names("/sys/class/drm")
            if _DRM.fullmatch(name)
            and (device := system.resolve(f"/sys/class/drm/{name}/device")) is not None
            and (address := parse_address(device.rpartition("/")[2])) is not None
        ),
    )
