# SPDX-License-Identifier: Apache-2.0 OR GPL-3.0-or-later
# GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt), or the Apache License 2.0

from __future__ import annotations


class ModuleDocFragment:
    # what all modules have
    DOCUMENTATION = r"""
requirements:
  - gpupass on the managed host, of the same version as this collection or later.
options:
  executable:
    description:
      - The gpupass command on the managed host, by name or path.
      - Beside E(PATH) it is looked for in C(/opt/gpupass/bin), C(/usr/local/bin) and C(/usr/sbin).
    type: str
    default: gpupass
  connect:
    description: The libvirt to talk to, as a connection URI of the managed host.
    type: str
    default: qemu:///system
    aliases: [uri]
attributes:
  action_group:
    description: Use C(group/gpupass.kvm.gpupass) in C(module_defaults) to set defaults for these modules.
    support: full
    membership:
      - gpupass.kvm.gpupass
  platform:
    description: Target OS families that can be operated against.
    support: full
    platforms: posix
  idempotent:
    description: Running the same task again changes nothing.
    support: full
"""

    # what the modules have that change something
    CHANGES = r"""
options:
  timeout:
    description:
      - How many seconds to wait for a guest to let go of a device.
      - A guest cannot be forced. One that has not let go by then leaves the request pending, see RV(error).
    type: float
attributes:
  check_mode:
    description:
      - Can run in check_mode and tells the same steps and the same difference without changing anything.
      - What it cannot know it says that it does not know.
    details:
      - What a crash left is taken to its end first. The change for that, with its steps, is told, and a warning says
        that those after it may differ.
      - What is made out of parts that are only made then is planned then. RV(msg) ends with C(more follows), and
        RV(changes[].continues) is true.
      - What containers are told (C(/etc/cdi)), where the profile asks for it, follows a change of devices. A warning
        says so. When no device is to be changed, it is told like any other step. What C(nvidia-ctk) writes is always
        a warning.
      - Without root it tells of what it may see.
    support: full
  diff_mode:
    description: Tells what has changed, or would change in check mode, when in diff mode.
    support: full
"""
