"""What ip(8) tells and sets of virtual functions, through the interfaces of their physical ones."""

import json
from typing import TYPE_CHECKING

from gpupass.errors import GpupassError
from gpupass.model.vf_link import VfLink

if TYPE_CHECKING:
    from tests.simulated import Machine

_SETTINGS = {"mac": "mac", "vlan": "vlan", "trust": "trust", "max_tx_rate": "rate"}


class SimulatedLinks:
    """`unknown` are settings that the driver does not know."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.of: dict[str, dict[int, VfLink]] = {}  # by interface
        self.unknown: set[str] = set()

    def add(self, pf: str, name: str, count: int) -> None:
        self.machine.put(f"{self.machine.tree.path(pf)}/net/{name}/address", "90:e2:ba:00:00:01\n")
        self.of[name] = {number: VfLink() for number in range(count)}

    def run(self, argv: tuple[str, ...]) -> str:
        if argv[1] == "-details":
            return json.dumps([{"ifname": argv[-1], "vfinfo_list": self._told(argv[-1])}])
        name, number, word, value = argv[4], int(argv[6]), argv[7], argv[8]
        self.machine._fault("ip", word)
        if word in self.unknown:
            raise GpupassError("cannot run ip: RTNETLINK answers: Operation not supported")
        links = self.of[name]
        links[number] = links[number].having(_SETTINGS[word], value)
        return ""

    def snapshot(self) -> dict[str, dict[int, VfLink]]:
        return {name: dict(links) for name, links in self.of.items()}

    def _told(self, name: str) -> list[dict[str, object]]:
        return [
            {
                "vf": number,
                "link_type": "ether",
                "address": link.mac,
                **({"vlan_list": [{"vlan": link.vlan}]} if link.vlan else {}),
                "spoofchk": True,
                "link-state": "auto",
                "trust": link.trust,
                "rate": {"max_tx": link.rate, "min_tx": 0},
            }
            for number, link in self.of[name].items()
        ]
