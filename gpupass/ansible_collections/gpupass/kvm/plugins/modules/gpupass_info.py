#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0 OR GPL-3.0-or-later
# GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt), or the Apache License 2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: gpupass_info
short_description: Gather devices, slots and verdicts of a GPU host
description:
  - Tells which GPUs and accelerators a host has, what of them can be given to a domain or a container now, and
    whether their IOMMU groups can be passed through, and if not, why.
  - Nothing is changed. Run it as root (C(become)), as only root sees who uses a device and what gpupass remembers.
version_added: 0.1.0
author:
  - The gpupass developers (@gpupass)
extends_documentation_fragment:
  - gpupass.kvm._gpupass
attributes:
  check_mode:
    description: Can run in check_mode and tells the same without changing anything.
    support: full
  diff_mode:
    description: Tells what has changed when in diff mode.
    support: N/A
    details: It changes nothing.
options:
  gather_subset:
    description:
      - What to gather; each is one look at the host, of a second or less.
      - V(devices) are GPUs and accelerators, V(slots) what can be given away, V(groups) the verdicts.
    type: list
    elements: str
    choices: [all, devices, slots, groups]
    default: [all]
  host:
    description:
      - A directory in which C(gpupass record) stored a host, on the managed host; it is read instead.
    type: path
seealso:
  - module: gpupass.kvm.gpupass_profile
  - plugin: gpupass.kvm.gpupass
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Look at the GPUs
  gpupass.kvm.gpupass_info:
  become: true
  register: gpus

- name: Say what is free
  ansible.builtin.debug:
    msg: "{{ gpus.slots | selectattr('state', 'equalto', 'free') | map(attribute='name') }}"

- name: Keep it where the inventory plugin gpupass.kvm.gpupass finds it
  ansible.builtin.copy:
    content: "{{ gpus | to_nice_json }}"
    dest: "info/{{ inventory_hostname }}.json"
    mode: "0600"
  delegate_to: localhost
"""

RETURN = r"""
msg:
  description: How much was found.
  returned: success
  type: str
  sample: "2 devices, 9 slots, 2 groups"
version:
  description: The version of gpupass.
  returned: success
  type: str
  sample: 0.1.0
kernel:
  description: The running kernel, or that of the recorded host.
  returned: success
  type: str
  sample: 6.12.0
iommu:
  description: Whether and how the IOMMU works.
  returned: success
  type: dict
unseen:
  description: What could not be looked at, in words.
  returned: success
  type: list
  elements: str
devices:
  description: The GPUs and accelerators, as C(gpupass list --json) tells them (C(gpupass schema list)).
  returned: when RV(devices) are gathered
  type: list
  elements: dict
  contains:
    address:
      description: The PCI address.
      type: str
      sample: "0000:07:00.0"
    name:
      description: Vendor and model.
      type: str
      sample: NVIDIA Corporation A100-SXM4-40GB
    vendor:
      description: The PCI vendor, four hex digits.
      type: str
      sample: 10de
    driver:
      description: The kernel driver that has it now.
      type: str
      sample: nvidia
    iommu_group:
      description: The number of its IOMMU group.
      type: int
      sample: 40
    users:
      description: Domains and processes that have it.
      type: list
      elements: dict
slots:
  description: What can be given to a domain or a container, as C(gpupass slots --json) tells it.
  returned: when RV(slots) are gathered
  type: list
  elements: dict
  contains:
    name:
      description: Its name, which M(gpupass.kvm.gpupass_attachment) takes.
      type: str
      sample: "0000:07:00.0/1g.5gb@0"
    called:
      description: Its name by the last applied profile, where that speaks of it.
      type: str
      sample: render/1g.5gb@0
    device:
      description: The PCI address of the device it is of.
      type: str
      sample: "0000:07:00.0"
    kind:
      description: What it is, for example V(function).
      type: str
      sample: function
    state:
      description: V(free), or what keeps it from being given away.
      type: str
      sample: free
    domains:
      description: Whether a domain can have it; otherwise only containers can.
      type: bool
      sample: true
groups:
  description: The IOMMU groups with a verdict on each, as C(gpupass groups --json) tells them.
  returned: when RV(groups) are gathered
  type: list
  elements: dict
  contains:
    group:
      description: The number of the IOMMU group.
      type: int
      sample: 40
    members:
      description: Its devices.
      type: list
      elements: dict
error:
  description: What failed; RV(msg) says the same in words.
  returned: when gpupass refuses to answer
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpupass.kvm.plugins.module_utils._gpupass import COMMON, read, version

VERBS = {"devices": "list", "slots": "slots", "groups": "groups"}
OF_THE_HOST = ("kernel", "iommu", "unseen")


def main():
    module = AnsibleModule(
        argument_spec=dict(
            COMMON,
            gather_subset={
                "type": "list",
                "elements": "str",
                "choices": ["all", *VERBS],
                "default": ["all"],
            },
            host={"type": "path"},
        ),
        supports_check_mode=True,
    )
    wanted = module.params["gather_subset"]
    host = module.params["host"]
    there = ["--host", host] if host else []
    result = {"version": version(module)}
    found = []
    for name, verb in VERBS.items():
        if name in wanted or "all" in wanted:
            document = read(module, verb, "--connect", module.params["connect"], *there)
            result[name] = document[name]
            result.update((key, document[key]) for key in OF_THE_HOST)
            found.append(f"{len(document[name])} {name}")
    module.exit_json(changed=False, msg=", ".join(found), **result)


if __name__ == "__main__":
    main()
