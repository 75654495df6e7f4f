"""Runs inside the lab: hold a VFIO device open in a way no process shows: its file is in flight on a socket."""

import fcntl
import os
import socket
import struct
import sys
import time

address = sys.argv[1]
group = os.readlink(f"/sys/bus/pci/devices/{address}/iommu_group").rpartition("/")[2]
base = ord(";") << 8 | 100
container = os.open("/dev/vfio/vfio", os.O_RDWR)
group_fd = os.open(f"/dev/vfio/{group}", os.O_RDWR)
fcntl.ioctl(group_fd, base + 4, bytearray(struct.pack("i", container)))
fcntl.ioctl(container, base + 2, 1)
device = fcntl.ioctl(group_fd, base + 6, bytearray(address.encode() + b"\0"))
ours, theirs = socket.socketpair()
socket.send_fds(ours, [b"x"], [device, group_fd, container])
for fd in (device, group_fd, container):
    os.close(fd)
print("hidden", flush=True)
time.sleep(600)
