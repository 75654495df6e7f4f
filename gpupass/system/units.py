"""Which units systemd starts at boot: the links that `systemctl enable` makes, so systemd need not run."""

from gpupass.system.reader import Reader

UNITS = "/etc/systemd/system"


def is_enabled(system: Reader, unit: str) -> bool:
    return any(
        system.target(f"{UNITS}/{directory}/{unit}") is not None
        for directory in system.names(UNITS)
        if directory.endswith((".wants", ".requires"))
    )
