"""Who can hold a device, or a part of one."""

from enum import StrEnum

from msgspec import Struct


class UserKind(StrEnum):
    """Who can hold a device."""

    DOMAIN = "domain"  # in a domain's live XML
    DOMAIN_CONFIG = "domain-config"  # in a domain's persistent XML
    VM = "vm"  # a guest that libvirt does not tell of, named by its UUID
    PROCESS = "process"  # a host process with the device's node open or mapped
    DISK = "disk"  # the host's file systems or swap lie behind it
    NETWORK = "network"  # a route of the host goes through it
    BOOT_DISPLAY = "boot-display"


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user of one device."""

    kind: UserKind
    name: str  # domain name, process name, mount point, interface
    detail: str = ""  # "pid 12, /dev/vfio/7", "10.0.0.0/8", …
    pid: int | None = None

    @property
    def works(self) -> bool:
        """At work with the device now, so that it cannot just go."""
        return self.kind in (UserKind.DOMAIN, UserKind.PROCESS)

    @property
    def words(self) -> str:
        """ "python (pid 4711)", "domain web", "VM 1b4e28ba-…"."""
        if self.kind is UserKind.PROCESS and self.pid is not None:
            return f"{self.name} (pid {self.pid})"
        kinds = {UserKind.DOMAIN: "domain ", UserKind.VM: "VM "}
        return kinds.get(self.kind, "") + self.name
