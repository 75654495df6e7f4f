"""What a host does at its next boot, as far as files say so."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFile:
    """One whole file; bytes that are no UTF-8 are kept as lone surrogates."""

    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The kernel module behind a PCI driver's name: `bochs` has `bochs-drm`."""

    driver: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BootState:
    """The files gpupass may own there, and what decides which ones a host needs."""

    files: tuple[HostFile, ...] = ()
    enabled: tuple[str, ...] = ()  # units that systemd starts at boot
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
