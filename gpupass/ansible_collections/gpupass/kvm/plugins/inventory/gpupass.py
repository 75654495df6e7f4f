# SPDX-License-Identifier: Apache-2.0 OR GPL-3.0-or-later
# GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt), or the Apache License 2.0

from __future__ import annotations

DOCUMENTATION = r"""
name: gpupass
short_description: Group GPU hosts by vendor, model, capability and free slots
description:
  - Groups hosts by what M(gpupass.kvm.gpupass_info) has found on them before. No host is contacted.
  - What it reads are files, one for each host and named like it, which hold the result of M(gpupass.kvm.gpupass_info).
  - Hosts are in C(gpu_vendor_*), C(gpu_model_*) and C(gpu_can_*) (C(passthrough), C(sriov), C(mig), C(vgpu), C(mdev),
    C(partition)). Those with something to give away are in C(gpu_free) and in C(gpu_free_*), by the kind of slot.
  - The variable C(gpupass) of a host is what was found, C(gpupass_free) how many slots of each kind are free.
version_added: 0.1.0
author:
  - The gpupass developers (@gpupass)
extends_documentation_fragment:
  - ansible.builtin.constructed
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [gpupass.kvm.gpupass]
  info:
    description:
      - The directory of the files. Where it is no absolute path, it is looked for beside the inventory file.
      - V(.json) at the end of a name is no part of the host's name.
    type: str
    default: info
seealso:
  - module: gpupass.kvm.gpupass_info
"""

EXAMPLES = r"""
# fleet.gpupass.yml
plugin: gpupass.kvm.gpupass
info: info
keyed_groups:
  - key: gpupass.kernel
    prefix: kernel
"""

import json
import re
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

VENDORS = {
    "10de": ("nvidia", "NVIDIA Corporation "),
    "1002": ("amd", "Advanced Micro Devices, Inc. [AMD/ATI] "),
    "8086": ("intel", "Intel Corporation "),
}


class InventoryModule(BaseInventoryPlugin, Constructable):
    NAME = "gpupass.kvm.gpupass"

    def verify_file(self, path):
        names = (".gpupass.yml", ".gpupass.yaml")
        return super().verify_file(path) and path.endswith((*names, *(f"/{name[1:]}" for name in names)))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        directory = Path(path).absolute().parent / self.get_option("info")
        for host, info in sorted(hosts_in(directory), key=lambda one: one[0]):
            self._add(host, info)

    def _add(self, host, info):
        self.inventory.add_host(host)
        free = free_slots(info)
        variables = {"gpupass": info, "gpupass_free": free}
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)
        for name in groups_of(info, free):
            self.inventory.add_child(self.inventory.add_group(name), host)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)


def hosts_in(directory):
    """Pairs of a host's name and what was found on it."""
    try:
        files = [file for file in directory.iterdir() if not file.name.startswith(".") and file.is_file()]
    except OSError as error:
        raise AnsibleParserError(
            f"cannot read what gpupass_info has found from {directory}: {error.strerror}"
        ) from None
    for file in files:
        info = info_in(file)
        if info is not None:
            yield file.name.removesuffix(".json"), info


def info_in(path):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnsibleParserError(f"cannot read {path}: {error}. What to do: let gpupass_info write it anew.") from None
    return found if isinstance(found, dict) and isinstance(found.get("devices"), list) else None


def free_slots(info):
    """How many of each kind."""
    found = {}
    for slot in info.get("slots", ()):
        if slot["state"] == "free":
            found[slot["kind"]] = found.get(slot["kind"], 0) + 1
    return found


def groups_of(info, free):
    found = set()
    for device in info["devices"]:
        if not device.get("physfn"):
            found.add("gpu_vendor_" + VENDORS.get(device["vendor"], (device["vendor"],))[0])
            found.add("gpu_model_" + spelled(model(device)))
        found |= {"gpu_can_" + what for what in capabilities(device)}
    if any(group["viable"] for group in info.get("groups", ())):
        found.add("gpu_can_passthrough")
    if free:
        found |= {"gpu_free", *("gpu_free_" + spelled(kind) for kind in free)}
    return sorted(found)


def model(device):
    """The name in brackets at the end, where there is one; the vendor is a group of its own."""
    name = device["name"] or f"{device['vendor']}_{device['device']}"
    for _short, prefix in VENDORS.values():
        name = name.removeprefix(prefix)
    marketed = re.search(r"\[([^\[\]]+)\]$", name)
    return marketed.group(1) if marketed else name


def capabilities(device):
    if device.get("sriov"):
        yield "sriov"
    if (device.get("nvidia") or {}).get("mig"):
        yield "mig"
    if device.get("vgpu") or (device.get("nvidia") or {}).get("vgpu_card"):
        yield "vgpu"
    if device.get("mdev_types"):
        yield "mdev"
    if (device.get("amd") or {}).get("computes"):
        yield "partition"


def spelled(text):
    """As a group's name may be."""
    return re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")
