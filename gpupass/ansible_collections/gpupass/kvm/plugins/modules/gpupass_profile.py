#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0 OR GPL-3.0-or-later
# GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt), or the Apache License 2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: gpupass_profile
short_description: Have the GPUs of a host used as a profile says
description:
  - Cuts, binds and attaches the GPUs of a host as a profile of gpupass says, takes that back, or compares only.
  - Devices are changed in parallel, each by itself. One that fails is rolled back; the others reach their goal.
  - What gpupass did not make (virtual functions, bindings, attachments) is left alone, unless O(adopt) is set.
version_added: 0.1.0
author:
  - The gpupass developers (@gpupass)
extends_documentation_fragment:
  - gpupass.kvm._gpupass
  - gpupass.kvm._gpupass.changes
options:
  profile:
    description:
      - The profile itself, as a dictionary or as its text in YAML.
      - A dictionary is YAML to Ansible first, which takes V(01:00.0) and V(0123) for numbers unless they are quoted.
        gpupass reads a text as it stands.
    type: raw
  file:
    description: The profile as a file on the managed host, which only root may be able to change.
    type: path
  state:
    description:
      - V(present) makes the host as the profile says.
      - V(absent) gives the devices of the profile back to the host. Their drivers are as before, what gpupass has cut
        is whole again, and domains have let go of them.
      - V(checked) changes nothing, and fails with RV(error.code=differs) when the host is not as the profile says.
    type: str
    choices: [present, absent, checked]
    default: present
  allow_disruption:
    description: Whether a running domain or a process may lose a device by it.
    type: bool
    default: false
  allow_reset:
    description: Whether an NVIDIA GPU may be reset for another MIG mode.
    type: bool
    default: false
  adopt:
    description:
      - Whether what gpupass did not make may be changed, too, as if each rule of the profile said C(take-over).
    type: bool
    default: false
  host:
    description:
      - A directory in which C(gpupass record) stored a host, on the managed host. It is compared with the profile
        instead, which takes O(state=checked) or check mode.
    type: path
seealso:
  - module: gpupass.kvm.gpupass_attachment
  - module: gpupass.kvm.gpupass_info
"""

EXAMPLES = r"""
- name: One display for a guest, and MIG instances for containers
  gpupass.kvm.gpupass_profile:
    profile:
      version: 1
      gpus:
        - name: render
          select: {address: "0000:01:00.0"}
          use: passthrough
        - name: compute
          select: {vendor: nvidia, model: "*A100*"}
          use: mig
          layout: [3g.20gb, 2g.10gb, 1g.5gb, 1g.5gb]
      attachments:
        - {domain: vm1, device: render}
    allow_reset: true
  become: true

- name: Is the host as its profile says?
  gpupass.kvm.gpupass_profile:
    file: /etc/gpupass/host.yaml
    state: checked
  become: true
  register: drift
  failed_when: drift.failed and drift.error.code | default('') != 'differs'

- name: Retry while a guest still has to let go
  gpupass.kvm.gpupass_profile:
    profile: "{{ lookup('ansible.builtin.template', 'gpus.yaml.j2') }}"
    allow_disruption: true
  become: true
  register: applied
  until: applied is success or not applied.error.retryable | default(false)
  retries: 10
  delay: 30
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

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpupass.kvm.plugins.module_utils._gpupass import COMMON, TIMEOUT, change, patience, text_of


def main():
    module = AnsibleModule(
        argument_spec=dict(
            COMMON,
            **TIMEOUT,
            profile={"type": "raw"},
            file={"type": "path"},
            state={"type": "str", "choices": ["present", "absent", "checked"], "default": "present"},
            allow_disruption={"type": "bool", "default": False},
            allow_reset={"type": "bool", "default": False},
            adopt={"type": "bool", "default": False},
            host={"type": "path"},
        ),
        mutually_exclusive=[("profile", "file")],
        required_one_of=[("profile", "file")],
        supports_check_mode=True,
    )
    params = module.params
    given = params["profile"]
    if given is not None and not isinstance(given, (dict, str)):
        module.fail_json(msg="cannot read the profile: it is neither a dictionary nor a text (profile)")
    file, data = ("-", text_of(given)) if given is not None else (str(Path(params["file"]).absolute()), None)
    change(
        module,
        *_verb(module),
        "--connect",
        params["connect"],
        positional=[file],
        data=data,
        only_checks=params["state"] == "checked",
    )


def _verb(module):
    """What the task is on the command line."""
    params = module.params
    checked, host = params["state"] == "checked", params["host"]
    if host and not checked and not module.check_mode:
        module.fail_json(msg=f"cannot change {host}: it is a recorded host. Use check mode or state: checked.")
    flags = ["--absent"] if params["state"] == "absent" else []
    flags += ["--adopt"] if params["adopt"] else []
    if checked:
        return ["check", *flags, *(["--host", host] if host else [])]
    if params["allow_reset"]:
        flags.append("--allow-reset")
    if host:
        return ["plan", *flags, "--host", host]
    if params["allow_disruption"]:
        flags.append("--allow-disruption")
    return ["apply", *flags, *patience(module), "--dry-run" if module.check_mode else "--yes"]


if __name__ == "__main__":
    main()
