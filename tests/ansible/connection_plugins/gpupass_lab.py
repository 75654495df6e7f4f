"""Ansible's tasks in the emulated GPU host: `ansible_host` is the lab's name, and root there is who runs them."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

from gpupass.errors import GpupassError
from gpupass.lab.machine import Lab

DOCUMENTATION = """
name: gpupass_lab
short_description: tasks in the lab
description: Over the channel of C(gpupass lab run), C(put) and C(get).
options:
  host:
    description: The name of the lab.
    vars: [{name: ansible_host}]
"""


class Connection(ConnectionBase):
    transport = "gpupass_lab"
    has_pipelining = True

    def _connect(self):
        self.lab = Lab(self.get_option("host"))
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = self._reached(lambda: self.lab.run(["/bin/sh", "-c", cmd], stdin=in_data))
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path, out_path):
        self._reached(lambda: self.lab.put(Path(in_path), out_path))

    def fetch_file(self, in_path, out_path):
        self._reached(lambda: self.lab.get(in_path, Path(out_path)))

    def close(self):
        self._connected = False

    def _reached(self, work):
        try:
            return work()
        except (GpupassError, TimeoutError) as error:
            raise AnsibleConnectionFailure(f"cannot reach the lab: {error}") from error
