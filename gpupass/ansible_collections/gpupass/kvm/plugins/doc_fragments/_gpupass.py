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
      - Three things it cannot know. What a crash left is taken to its end first. What is made out of parts that are
        only made then is planned then (RV(changes[].continues)). And C(/etc/cdi) follows, where the profile says so.
      - Without root it tells of what it may see.
    support: full
  diff_mode:
    description: Tells what has changed, or would change in check mode, when in diff mode.
    support: full
"""
