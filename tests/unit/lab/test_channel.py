"""The real agent and the real client, joined by a socket instead of a virtio-serial port."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpupass.lab import frames
from gpupass.lab.channel import Channel, ChannelLost, Ending, Terminal
from gpupass.lab.frames import Decoder, Frame, Kind

# In the lab machine the agent finds frames.py beside itself.
sys.modules.setdefault("frames", frames)
from gpupass.lab import agent  # noqa: E402


def test_frames_survive_cuts_and_noise() -> None:
    sent = [
        Frame(session="a", kind=Kind.EXEC, argv=("echo", "ü"), rows=24, columns=80, text="linux"),
        Frame(session="a", kind=Kind.STDOUT, data=bytes(range(256))),
        Frame(session="a", kind=Kind.EXITED, number=7),
    ]
    stream = (
        b'torn"}\n' + b"\n".join([b"", b"[1]", b'{"session":1}']) + b"\n" + b"".join(f.encode() for f in sent)
    )
    decoder = Decoder()
    assert [f for n in range(len(stream)) for f in decoder.feed(stream[n : n + 1])] == sent


def test_an_endless_line_is_dropped() -> None:
    decoder = Decoder()
    assert not list(decoder.feed(b"x" * (frames.MAX_LINE + 1)))
    assert [f.kind for f in decoder.feed(b"\n" + Frame(session="a", kind=Kind.TICK).encode())] == [Kind.TICK]


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    monkeypatch.setattr(agent, "_be_ordinary", lambda: None)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "port"))
    listener.listen()
    real_popen = agent.subprocess.Popen

    def at_home(argv: tuple[str, ...], **options: object) -> object:
        return real_popen(argv, **{**options, "cwd": tmp_path})  # type: ignore[call-overload]

    monkeypatch.setattr(agent.subprocess, "Popen", at_home)

    def answer() -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        port = agent.Port.__new__(agent.Port)
        port.fd, port._decoder = connection.detach(), Decoder()
        agent.serve(port)

    threading.Thread(target=answer, daemon=True).start()
    client = Channel(tmp_path / "port")
    assert client.hello(10)
    yield client
    client.close()
    listener.close()


def _run(
    channel: Channel,
    *argv: str,
    stdin: int | None = None,
    terminal: Terminal | None = None,
    deadline: float | None = None,
) -> tuple[Ending, bytes, bytes]:
    out, err = bytearray(), bytearray()
    ending = channel.execute(
        argv, stdin=stdin, output=out.extend, errors=err.extend, terminal=terminal, deadline=deadline
    )
    return ending, bytes(out), bytes(err)


def test_streams_and_status_stay_apart(channel: Channel) -> None:
    assert _run(channel, "sh", "-c", "echo out; echo err >&2; exit 7") == (
        Ending(status=7),
        b"out\n",
        b"err\n",
    )


def test_a_signal_is_no_status(channel: Channel) -> None:
    ending, _, _ = _run(channel, "sh", "-c", "kill -9 $$")
    assert (ending, ending.returncode) == (Ending(signal=9), 137)


def test_a_command_that_is_not_there(channel: Channel) -> None:
    ending, _, err = _run(channel, "no-such-command")
    assert ending.status == 127 and err.startswith(b"cannot run no-such-command: No such file")
    assert _run(channel, "echo", "next")[1] == b"next\n"


def test_input_larger_than_every_buffer(channel: Channel, tmp_path: Path) -> None:
    data = os.urandom(6 << 20)
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as file:
        ending, out, _ = _run(channel, "cat", stdin=file.fileno())
    assert ending == Ending(status=0) and out == data


def test_a_command_that_does_not_read_its_input(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(3 << 20))
    with (tmp_path / "in").open("rb") as file:
        assert _run(channel, "true", stdin=file.fileno())[0] == Ending(status=0)
    assert _run(channel, "echo", "next")[1] == b"next\n"


def test_a_background_child_does_not_hold_the_command(channel: Channel) -> None:
    begun = time.monotonic()
    assert _run(channel, "sh", "-c", "sleep 30 & echo started")[1] == b"started\n"
    assert time.monotonic() - begun < 10


def test_a_terminal_with_its_size(channel: Channel) -> None:
    size = Terminal(rows=31, columns=97, kind="dumb")
    ending, out, err = _run(channel, "sh", "-c", "stty size; test -t 0; echo $? $TERM", terminal=size)
    assert ending == Ending(status=0) and err == b""
    assert out.split() == [b"31", b"97", b"0", b"dumb"]


def test_the_process_group_ends_with_its_client(channel: Channel, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        _run(
            channel,
            "sh",
            "-c",
            "echo $$ >pid; sleep 60 & echo $! >child; wait",
            deadline=time.monotonic() + 1.5,
        )
    channel.close()
    pids = [int((tmp_path / name).read_text()) for name in ("pid", "child")]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}/stat").exists() for pid in pids):
        time.sleep(0.05)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_lost_machine_is_no_status(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "port"))
    listener.listen()
    client = Channel(tmp_path / "port")
    listener.accept()[0].close()
    with pytest.raises(ChannelLost):
        client.hello(5)
    with pytest.raises(ChannelLost):
        Channel(tmp_path / "nobody")
