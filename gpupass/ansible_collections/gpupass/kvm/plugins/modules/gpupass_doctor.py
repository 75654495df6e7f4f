#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0 OR GPL-3.0-or-later
# GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt), or the Apache License 2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: gpupass_doctor
short_description: Tell what keeps a host from giving GPUs away, and set right what is safe
description:
  - Looks at firmware, boot loader, kernel, drivers, libvirt and guests, and tells of each condition whether it is met,
    why not, and what to type about it on this distribution.
  - With O(fix=true) what is safe and can be taken back is set right, which are kernel parameters, options of modules,
    modules to be loaded and limits of services. The host is never rebooted, RV(reboot_required) says whether it has to
    be.
version_added: 0.1.0
author:
  - The gpupass developers (@gpupass)
extends_documentation_fragment:
  - gpupass.kvm._gpupass
attributes:
  check_mode:
    description: Can run in check_mode and tells what O(fix=true) would change without changing anything.
    support: full
  diff_mode:
    description: Tells which files have changed, or would change in check mode, when in diff mode.
    support: full
options:
  for:
    description:
      - What it is narrowed to, purposes and devices. Without it everything is looked at.
      - Purposes are V(passthrough), V(sriov), V(mig), V(vgpu), V(mdev), V(remoting), V(hotplug) and V(desktop).
        Anything else is a device or the path of a profile on the managed host.
    type: list
    elements: str
    default: []
  fix:
    description: Whether what is safe is set right.
    type: bool
    default: false
  fail_on:
    description:
      - When the task fails, V(fail) when something does not meet its condition, V(warn) also when something is to be
        known, V(never) in neither case.
    type: str
    choices: [never, fail, warn]
    default: never
  host:
    description:
      - A directory in which C(gpupass record) stored a host, on the managed host; it is looked at instead.
    type: path
seealso:
  - module: gpupass.kvm.gpupass_info
  - module: gpupass.kvm.gpupass_profile
"""

EXAMPLES = r"""
- name: Ask what is missing for passthrough
  gpupass.kvm.gpupass_doctor:
    for: [passthrough]
  become: true
  register: doctor

- name: Say what fails, and what to type
  ansible.builtin.debug:
    msg: "{{ item.why }}: {{ item.remedy }}"
  loop: "{{ doctor.findings | selectattr('level', 'equalto', 'fail') }}"
  loop_control:
    label: "{{ item.id }}"

- name: Set right what is safe
  gpupass.kvm.gpupass_doctor:
    for: [passthrough]
    fix: true
  become: true
  register: doctor

- name: Reboot where it has to be
  ansible.builtin.reboot:
  become: true
  when: doctor.reboot_required
"""

RETURN = r"""
msg:
  description: How many conditions are met and how many are not, and what was done.
  returned: always
  type: str
  sample: "1 fail, 4 warn, 46 pass"
findings:
  description:
    - What each check has found, as C(gpupass doctor --json) tells it. With O(fix=true) it was looked at afterwards.
  returned: success, or when O(fail_on) makes the task fail
  type: list
  elements: dict
  contains:
    id:
      description: The name of the check, which stays.
      type: str
      sample: iommu.on
    title:
      description: What it is about.
      type: str
      sample: IOMMU
    subject:
      description: What it belongs to.
      type: str
      sample: isolation
    purposes:
      description: What it matters for.
      type: list
      elements: str
    level:
      description: One of V(pass), V(warn), V(fail), and V(unknown) where it cannot be seen.
      type: str
      sample: fail
    about:
      description: The device or domain it is about; V(null) is the host.
      type: str
      sample: "0000:01:00.0"
    why:
      description: Why, in words.
      type: str
      sample: this host has no IOMMU
    remedy:
      description: What to type or to set on this distribution.
      type: str
      sample: "update-grub, then reboot"
    needs:
      description: What has to happen until the remedy counts, V(nothing), V(reload) or V(reboot).
      type: str
      sample: reboot
    fixable:
      description: Whether O(fix=true) does it.
      type: bool
      sample: true
counts:
  description: How many findings there are of each level.
  returned: as RV(findings)
  type: dict
  sample: {"pass": 46, "warn": 4, "fail": 1, "unknown": 0}
reboot_required:
  description: Whether something is written for the next boot that is not so yet.
  returned: as RV(findings)
  type: bool
  sample: false
distribution:
  description: The distribution that the remedies are told for.
  returned: as RV(findings)
  type: dict
loader:
  description: The tool that changes the kernel's command line there.
  returned: as RV(findings)
  type: str
  sample: update-grub
steps:
  description: What was done, or would be in check mode, as M(gpupass.kvm.gpupass_profile) tells it.
  returned: with O(fix=true)
  type: list
  elements: dict
diff:
  description: What has changed, or would change, by file.
  returned: with O(fix=true), in diff mode
  type: dict
error:
  description: What failed; RV(msg) says the same in words.
  returned: when gpupass refuses to answer, or could not set it right
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpupass.kvm.plugins.module_utils._gpupass import COMMON, changed, deeds, read

LEVELS = ("fail", "warn", "unknown", "pass")
BAD = {"never": (), "fail": ("fail",), "warn": ("fail", "warn")}


def main():
    module = AnsibleModule(
        argument_spec=dict(
            COMMON,
            **{
                "for": {"type": "list", "elements": "str", "default": []},
                "fix": {"type": "bool", "default": False},
                "fail_on": {"type": "str", "choices": [*BAD], "default": "never"},
                "host": {"type": "path"},
            },
        ),
        supports_check_mode=True,
    )
    host, fix = module.params["host"], module.params["fix"]
    if host and fix:
        module.fail_json(msg=f"cannot change {host}: it is a recorded host. What to do: fix: false.")
    asked = ["--for=" + word for word in module.params["for"]]
    asked += ["--connect", module.params["connect"]]
    result, said = {"changed": False}, []
    if fix:
        how = "--dry-run" if module.check_mode else "--yes"
        answer, result = changed(module, "doctor", "--fix", how, *asked, looks=module.check_mode)
        said.append(deeds(answer, module.check_mode))
    document = read(module, "doctor", *asked, *(["--host", host] if host else []))
    counts = document["counts"]
    told = ", ".join(f"{counts[level]} {level}" for level in LEVELS if counts.get(level)) or "nothing to check"
    result.update((name, document[name]) for name in ("findings", "counts", "distribution", "loader"))
    result["reboot_required"] = document["reboot"]
    bad = [one for one in document["findings"] if one["level"] in BAD[module.params["fail_on"]]]
    if bad:
        module.fail_json(msg=f"this host cannot give GPUs away as asked: {sentence_of(bad[0])} ({told})", **result)
    module.exit_json(msg="; ".join([*said, told]), **result)


def sentence_of(finding):
    about = f"{finding['about']}: " if finding["about"] else ""
    remedy = f" ({finding['remedy']})" if finding["remedy"] else ""
    return f"{about}{finding['why']}{remedy}"


if __name__ == "__main__":
    main()
