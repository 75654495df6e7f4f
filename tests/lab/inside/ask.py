"""Runs inside the lab: has served.py run a verb, or gpupass itself when nobody serves. Usage: ask.py SOCKET VERB …"""

import _socket  # `socket` costs a start of Python once more
import os
import sys

asked = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
try:
    asked.connect(sys.argv[1])
except OSError:
    os.execvp("gpupass", ["gpupass", *sys.argv[2:]])
fds = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
asked.sendmsg(["\0".join(sys.argv[2:]).encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
status = int(asked.recv(16) or b"255")
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
