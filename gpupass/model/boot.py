"""What a host does at its next boot, as far as files say so."""

from msgspec import Struct


class HostFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One whole file; bytes that are no UTF-8 are kept as lone surrogates."""

    path: str
    text: str
    mode: int = 0o644


class Module(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kernel module behind a PCI driver's name: `bochs` has `bochs-drm`."""

    driver: str
    name: str


class BootState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files gpupass may own there, and what decides which ones a host needs."""

    files: tuple[HostFile, ...] = ()
    enabled: tuple[str, ...] = ()  # units that systemd starts at boot
    running: tuple[str, ...] = ()
    systemd: bool = True  # has it booted this host?
    os_release: str = ""
    present: tuple[str, ...] = ()  # of the paths that tell the initramfs tool
    modules: tuple[Module, ...] = ()

    def file(self, path: str) -> HostFile | None:
        return next((file for file in self.files if file.path == path), None)

    def module(self, driver: str) -> str:
        return next(
            (module.name for module in self.modules if module.driver == driver), driver.replace("-", "_")
        )
