"""An emulated host as a controller reaches any other: by ssh, with a key of this run, on a port of loopback."""

import contextlib
import re
import subprocess

ANY_PORT = "hostfwd_add route tcp:127.0.0.1:0-:22"
SSHD = "/usr/sbin/sshd -o UsePAM=no -o PasswordAuthentication=no -o PidFile=/run/gpupass-sshd.pid"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"


@contextlib.contextmanager
def reached_by_ssh(host, directory):
    """Ansible's variables for it; nobody listens before, and nobody afterwards."""
    key, known = directory / "key", directory / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    host.sh(
        f"ssh-keygen -q -t ed25519 -N '' -f {HOST_KEY} && install -d -m 700 /root/.ssh && mkdir -p /run/sshd && "
        f"echo '{public}' > /root/.ssh/authorized_keys && {SSHD}"
    )
    said = host.lab.hmp(ANY_PORT)
    found = re.search(r"HOST_FORWARD\S*\s+\S+\s+127\.0\.0\.1\s+(\d+)", host.lab.hmp("info usernet"))
    assert found, said
    port = int(found[1])
    known.write_text(f"[127.0.0.1]:{port} {host.sh(f'cat {HOST_KEY}.pub')}")
    try:
        yield {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(key),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={known} -o IdentitiesOnly=yes "
            "-o StrictHostKeyChecking=yes -o ConnectTimeout=120",
        }
    finally:
        host.lab.hmp(f"hostfwd_remove route tcp:127.0.0.1:{port}")
        host.sh(f"kill $(cat /run/gpupass-sshd.pid); rm -rf /root/.ssh {HOST_KEY} {HOST_KEY}.pub", code=None)
