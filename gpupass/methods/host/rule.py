"""What a profile may ask of a device that the host works with."""

from typing import Annotated, ClassVar

from gpupass.model.key import Key
from gpupass.model.profile import DRIVER, Rule


class HostRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: host`: the host works with the device."""

    use: ClassVar[str] = "host"
    for_host: ClassVar[bool] = True
    whole: ClassVar[bool] = True

    driver: Annotated[
        str | None, Key("host driver (default: the one before, or the kernel's choice)", pattern=DRIVER)
    ] = None

    @property
    def driver_for_host(self) -> str | None:
        return self.driver
