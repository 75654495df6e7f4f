"""Runs inside the lab: an interpreter that has imported gpupass and forks for every command line it is sent.

The process that runs a command is a child of its own with the sender's input and output: only the start of Python and
the imports, which cost more here than most verbs do, are spared. `stand STEP FILE VERB …` stands still before that
step. Usage: served.py SOCKET
"""

import importlib
import os
import signal
import socket
import sys
from pathlib import Path

from gpupass.cli import main as cli

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.lab.inside.standing import stand_before


def loaded_by(*argv):
    """What a verb imports only when it runs: asked in a child, so that nothing of a connection stays here."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        quiet = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(quiet, number)
        sys.argv = ["gpupass", *argv]
        try:
            cli.run()
        except BaseException:
            os.write(theirs, "\n".join(sys.modules).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        return answer.read().split()


def work(argv, fds):
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    # as at the start of an interpreter: ours remember what kind of file theirs were
    sys.stdin, sys.stdout = open(0), open(1, "w", errors="surrogateescape")
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")
    if argv[0] == "stand":
        stand_before(*argv[1:3])
        argv = argv[3:]
    sys.argv = [str(Path(cli.__file__).parents[1] / "__main__.py"), *argv]
    try:
        cli.main()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def serve(client):
    """One command: its exit status goes back; a client that is gone takes it along."""
    os.setsid()
    message, fds, _, _ = socket.recv_fds(client, 1 << 16, 3)
    child = os.fork()
    if child == 0:
        client.close()
        work(message.decode().split("\0"), fds)
    for fd in fds:
        os.close(fd)
    watcher = os.fork()
    if watcher == 0:
        client.recv(1)
        os.kill(child, signal.SIGTERM)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.kill(watcher, signal.SIGKILL)
    client.sendall(str(status).encode())


for where in {where.partition(":")[0] for verb, (where, _) in cli.VERBS.items() if verb != "lab"}:
    importlib.import_module(f"gpupass.cli.{where}")
for argv in (("list", "--json"), ("export",), ("attach", "none", "0000:ff:1f.7", "--json")):
    for name in loaded_by(*argv):
        if name != "__main__":
            importlib.import_module(name)
assert len(os.listdir("/proc/self/task")) == 1, "a thread does not survive a fork"

listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
Path(sys.argv[1]).unlink(missing_ok=True)
listener.bind(sys.argv[1])
listener.listen(16)
while True:
    client, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        if os.fork() == 0:
            serve(client)
        os._exit(0)
    client.close()
    os.wait()
