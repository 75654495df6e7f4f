#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0 OR GPL-3.0-or-later
# GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt), or the Apache License 2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: gpupass_attachment
short_description: Attach a GPU or a part of one to a running domain, or take it away
description:
  - Hands a device or slot to a running libvirt domain, takes it back, or moves it to another domain.
  - The whole IOMMU group is bound, the device is reset between two guests, and nothing is called done that is not.
  - Only what runs is changed, never the persistent definition of a domain. To have devices attached at every boot, see
    M(gpupass.kvm.gpupass_profile) and C(gpupass enable).
version_added: 0.1.0
author:
  - The gpupass developers (@gpupass)
extends_documentation_fragment:
  - gpupass.kvm._gpupass
  - gpupass.kvm._gpupass.changes
options:
  device:
    description:
      - A PCI address, GPU UUID, serial number or physical slot, or the name of a slot (C(gpupass slots)), also by the
        names of the last applied profile, for example V(nic/vf0).
    type: str
    required: true
    aliases: [slot]
  domain:
    description: The libvirt domain, by name or UUID.
    type: str
    required: true
    aliases: [guest]
  state:
    description:
      - V(present) attaches the device to O(domain). It is refused when another domain has it.
      - V(absent) detaches it from O(domain).
      - V(moved) takes it from whichever domain has it and attaches it to O(domain).
    type: str
    choices: [present, absent, moved]
    default: present
  with_functions:
    description: Whether the guest gets all functions of the card, with O(state=present).
    type: bool
    default: false
  at_start:
    description:
      - Whether the domain gets the device whenever it starts, and now where it runs, and the host has it back when it
        stops, with O(state=present). The domain may be shut off.
      - Whether that is taken back, too, with O(state=absent).
    type: bool
    default: false
  rom:
    description:
      - The ROM that the guest sees of it, a file that only root can change, V(none), or V(default), the device's own.
      - This and the options below are of O(state=present) and O(state=moved). What is left out stays as it is.
    type: str
  guest_address:
    description: Its PCI address in the guest, on a free hot-plug port.
    type: str
  driver:
    description: How QEMU opens it. V(iommufd) takes libvirt 12.1.
    type: str
    choices: [vfio, iommufd]
  reset_method:
    description: How it is reset until the domain lets go of it, a name that C(reset_method) lists, or V(default).
    type: str
  disable_idle_d3:
    description: Whether it never sleeps while nobody uses it.
    type: bool
  bar:
    description: Sizes of its resizable BARs by number, for example V(16G) for V(1).
    type: dict
  mac:
    description: MAC of a virtual function of a network card, or V(default).
    type: str
  vlan:
    description: VLAN of a virtual function of a network card; V(0) is none.
    type: int
  trust:
    description: Whether the guest may change the MAC of a virtual function of a network card.
    type: bool
  rate:
    description: What a virtual function of a network card may send at most, in Mbit/s; V(0) is no limit.
    type: int
  allow_disruption:
    description: Whether a guest that has it with other options may lose it meanwhile.
    type: bool
    default: false
  even_of:
    description:
      - Who else manages the domain and need not know. Where somebody else manages it, it is left alone without this.
    type: str
    choices: [nova, ovirt, kubevirt, opennebula]
seealso:
  - module: gpupass.kvm.gpupass_profile
  - module: gpupass.kvm.gpupass_info
"""

EXAMPLES = r"""
- name: Give a display to vm1
  gpupass.kvm.gpupass_attachment:
    device: "0000:01:00.0"
    domain: vm1
  become: true

- name: Let vm2 have it instead
  gpupass.kvm.gpupass_attachment:
    device: "0000:01:00.0"
    domain: vm2
    state: moved
    timeout: 120
  become: true

- name: Give a virtual function of a network card a MAC and a VLAN that its guest cannot change
  gpupass.kvm.gpupass_attachment:
    device: nic/vf0
    domain: vm3
    mac: "52:54:00:12:34:56"
    vlan: 100
  become: true

- name: Take a virtual function back
  gpupass.kvm.gpupass_attachment:
    device: nic/vf0
    domain: vm3
    state: absent
  become: true
"""

RETURN = r"""
msg:
  description: What was done, or would be; or what failed, why, and what to do. Nothing else has to be read.
  returned: always
  type: str
  sample: "changed: bind 0000:01:00.0 to vfio-pci"
changed:
  description:
    - Whether anything was changed and stands now, or would be in check mode.
    - A change that failed and was taken back wholly has changed nothing; one that was left half-way has.
    - A gpupass that was killed counts as changed, as nobody knows; the next run of the task tells.
  returned: always
  type: bool
  sample: true
steps:
  description: Every step, in its order. But for their RV(steps[].status) they are the same in check mode.
  returned: when gpupass has answered
  type: list
  elements: dict
  contains:
    number:
      description: Its place in the order, from 1.
      type: int
      sample: 1
    change:
      description: The title of the change it is of, see RV(changes).
      type: str
      sample: "render: passthrough 0000:01:00.0"
    step:
      description: What kind of step it is.
      type: str
      sample: Bind
    target:
      description: What it changes.
      type: str
      sample: "0000:01:00.0"
    words:
      description: What it does, in words.
      type: str
      sample: bind 0000:01:00.0 to vfio-pci
    why:
      description: Why it is needed; may be empty.
      type: str
      sample: same IOMMU group
    hidden:
      description: Whether it only keeps the books.
      type: bool
      sample: false
    status:
      description: One of V(planned), V(done), V(failed), V(undone), V(not-run) and V(pending).
      type: str
      sample: done
    details:
      description: What else the step is about.
      type: dict
changes:
  description: The changes, each of devices that change together, and how each ended.
  returned: when gpupass has answered
  type: list
  elements: dict
  contains:
    title:
      description: What it is about.
      type: str
      sample: "render: passthrough 0000:01:00.0"
    result:
      description: How it ended, for example V(done), V(planned), V(nothing), V(failed), V(pending) or V(not-run).
      type: str
      sample: done
    continues:
      description: Whether more steps follow, which only a fresh look at what these make can plan.
      type: bool
      sample: false
    note:
      description: More on that, in words; may be empty.
      type: str
    devices:
      description: The PCI addresses it touches.
      type: list
      elements: str
    steps:
      description: The numbers of its steps.
      type: list
      elements: int
    findings:
      description: What speaks against it, or is to be known.
      type: list
      elements: dict
    error:
      description: Why it failed, as RV(error).
      type: dict
disrupts:
  description: Who loses something by it.
  returned: when gpupass has answered
  type: list
  elements: dict
waits:
  description:
    - What is left to be done when something happens, for example when a domain starts. Each is a warning, too.
  returned: when gpupass has answered
  type: list
  elements: str
foreign:
  description: What is left alone because gpupass did not make it.
  returned: when gpupass has answered
  type: list
  elements: str
refused:
  description: What was not allowed, each with a remedy.
  returned: when gpupass has answered
  type: list
  elements: dict
resets:
  description: The devices that are reset.
  returned: when gpupass has answered
  type: list
  elements: str
needs_allow_reset:
  description: The GPUs that would be reset for another MIG mode.
  returned: when gpupass has answered
  type: list
  elements: str
driver_changes:
  description: The devices whose driver changes.
  returned: when gpupass has answered
  type: list
  elements: str
seconds:
  description: How long the changes take by estimate.
  returned: when gpupass has answered
  type: float
  sample: 1.5
matches:
  description: Whether there is nothing to do, nothing was refused and nothing waits.
  returned: when gpupass has answered
  type: bool
  sample: false
error:
  description: What failed; RV(msg) says the same in words.
  returned: on failure
  type: dict
  contains:
    code:
      description:
        - A stable word to branch on, for example V(refused), V(needs-allow-disruption), V(usage), V(busy),
          V(pending), V(needs-person), V(kernel-refused) or V(failed).
      type: str
      sample: pending
    message:
      description: What could not be done, and why.
      type: str
    hint:
      description: What to do.
      type: str
    exit_code:
      description: The exit status of gpupass.
      type: int
      sample: 6
    retryable:
      description: Whether the same task may succeed later, unchanged.
      type: bool
      sample: true
    path:
      description: Where in the profile it is.
      type: str
      sample: gpus[0].layout
    file:
      description: The file of the profile.
      type: str
    line:
      description: The line there.
      type: int
    column:
      description: The column there.
      type: int
    reasons:
      description: Every reason, when there are several.
      type: list
      elements: dict
cmd:
  description: The command that was run.
  returned: always
  type: list
  elements: str
  sample: [/usr/local/bin/gpupass, apply, --yes, --json, --, "-"]
rc:
  description: Its exit status. That of an answer is in RV(error.exit_code).
  returned: when gpupass has not answered
  type: int
  sample: 1
diff:
  description: What has changed, or would change, by device.
  returned: in diff mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpupass.kvm.plugins.module_utils._gpupass import COMMON, TIMEOUT, change, patience

OPTIONS = {
    "rom": {"type": "str"},
    "guest_address": {"type": "str"},
    "driver": {"type": "str", "choices": ["vfio", "iommufd"]},
    "reset_method": {"type": "str"},
    "disable_idle_d3": {"type": "bool"},
    "bar": {"type": "dict"},
    "mac": {"type": "str"},
    "vlan": {"type": "int"},
    "trust": {"type": "bool"},
    "rate": {"type": "int"},
}


def options_of(params):
    """What the attachment is to have, as it is typed."""
    typed = ["--allow-disruption"] if params["allow_disruption"] else []
    for name in OPTIONS:
        value, option = params[name], "--" + name.replace("_", "-") + "="
        if isinstance(value, dict):
            typed += [f"{option}{key}={size}" for key, size in value.items()]
        elif isinstance(value, bool):
            typed.append(option + ("on" if value else "off"))
        elif value is not None:
            typed.append(option + str(value))
    return typed


def main():
    module = AnsibleModule(
        argument_spec=dict(
            COMMON,
            **TIMEOUT,
            device={"type": "str", "required": True, "aliases": ["slot"]},
            domain={"type": "str", "required": True, "aliases": ["guest"]},
            state={"type": "str", "choices": ["present", "absent", "moved"], "default": "present"},
            with_functions={"type": "bool", "default": False},
            at_start={"type": "bool", "default": False},
            even_of={"type": "str", "choices": ["nova", "ovirt", "kubevirt", "opennebula"]},
            allow_disruption={"type": "bool", "default": False},
            **OPTIONS,
        ),
        supports_check_mode=True,
    )
    device, domain, even_of = (module.params[name] for name in ("device", "domain", "even_of"))
    functions = ["--with-functions"] if module.params["with_functions"] else []
    options = options_of(module.params)
    start = ["--at-start"] if module.params["at_start"] else []
    if start and module.params["state"] == "moved":
        module.fail_json(msg="cannot move a device at a start: at_start is for state present and absent")
    how = {
        "present": (["attach", *functions, *start, *options], [domain, device]),
        "absent": (["detach", *start], [domain, device]),
        "moved": (["move", "--to=" + domain, *options], [device]),
    }
    verb, positional = how[module.params["state"]]
    dry_run = ["--dry-run"] if module.check_mode else []
    change(
        module,
        *verb,
        *patience(module),
        *(["--even-of", even_of] if even_of else []),
        *dry_run,
        "--connect",
        module.params["connect"],
        positional=positional,
    )


if __name__ == "__main__":
    main()
