"""The systemd units: two restore a profile at boot, one keeps promises (systemd.unit(5), systemd.service(5)).

The devices come first, before libvirt starts its domains; the attachments wait for the domains, and nothing
waits for them.
"""

from gpupass.model.boot import HostFile

PROFILE = "/etc/gpupass/profile.yaml"
DEVICES = "gpupass.service"
ATTACHMENTS = "gpupass-attach.service"
UNITS = (DEVICES, ATTACHMENTS)
PROMISES = "gpupass-promises.service"
_LIBVIRT = "libvirtd.service virtqemud.service libvirt-guests.service"
_VENDORS = "nvidia-persistenced.service nvidia-vgpud.service nvidia-vgpu-mgr.service"
# Usage, refused, a person needed, pending: the next try would end the same way.
_HOPELESS = "2 4 5 6"

# /sys must stay writable and modules loadable (no ProtectKernelTunables=, no ProtectKernelModules=), the root
# user's home readable (gpupass may be installed there), and every process visible (no ProtectProc=).
_SANDBOX = """\
UMask=0077
ProtectSystem=full
ProtectHome=read-only
PrivateTmp=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
"""


def unit_path(unit: str) -> str:
    return f"/etc/systemd/system/{unit}"


def unit_files(executable: str) -> tuple[HostFile, ...]:
    return (
        HostFile(path=unit_path(DEVICES), text=_devices(executable)),
        HostFile(path=unit_path(ATTACHMENTS), text=_attachments(executable)),
    )


def promises_file(executable: str) -> HostFile:
    """It is told to stop alone: what it has begun to write is finished, and then taken back."""
    text = f"""\
# Written by `gpupass attach --at-start` and the like; taken away with the last promise.
[Unit]
Description=Devices of this host for domains that are promised them, whenever these start
RequiresMountsFor=/var/lib/gpupass
Wants={DEVICES}
After={DEVICES}
After={_LIBVIRT}

[Service]
Type=notify
NotifyAccess=main
ExecStart={executable} listen
TimeoutStartSec=300
KillMode=mixed
Restart=on-failure
RestartSec=5
{_SANDBOX}
[Install]
WantedBy=multi-user.target
"""
    return HostFile(path=unit_path(PROMISES), text=text)


def _devices(executable: str) -> str:
    """Part of multi-user.target, as libvirt is: no sooner, the vendors' daemons must have started.

    RestartMode=direct keeps libvirt waiting while a try that failed is made again; systemd before 254 does
    not know it, says so in its log, and goes on to libvirt after the first one.
    """
    return f"""\
# Written by `gpupass enable`; `gpupass disable` takes it away.
[Unit]
Description=GPUs of this host as {PROFILE} wants them
ConditionPathExists={PROFILE}
RequiresMountsFor=/var/lib/gpupass /etc/gpupass
After=local-fs.target systemd-modules-load.service
After={_VENDORS}
Before={_LIBVIRT}
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={executable} apply {PROFILE} --yes --boot --devices-only
TimeoutStartSec=300
Restart=on-failure
RestartMode=direct
RestartSec=5
RestartPreventExitStatus={_HOPELESS}
{_SANDBOX}
[Install]
WantedBy=multi-user.target
"""


def _attachments(executable: str) -> str:
    """Type=exec: started once the program runs, so that multi-user.target does not wait for any guest."""
    return f"""\
# Written by `gpupass enable`; `gpupass disable` takes it away.
[Unit]
Description=GPUs of this host with the domains that {PROFILE} names
ConditionPathExists={PROFILE}
RequiresMountsFor=/var/lib/gpupass /etc/gpupass
Wants={DEVICES}
After={DEVICES}
After={_LIBVIRT}
StartLimitIntervalSec=3600
StartLimitBurst=5

[Service]
Type=exec
RemainAfterExit=yes
ExecStart={executable} apply {PROFILE} --yes --boot --wait 300
Restart=on-failure
RestartSec=10
RestartPreventExitStatus={_HOPELESS}
{_SANDBOX}
[Install]
WantedBy=multi-user.target
"""
