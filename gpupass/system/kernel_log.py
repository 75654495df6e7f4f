"""What the kernel says about a device from now on (/dev/kmsg, Documentation/ABI/testing/dev-kmsg)."""

import os
from contextlib import suppress


class KernelLog:
    """Opened before a deed; `since` tells the last line about a device, or with these words, after it."""

    def __init__(self) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._fd, 0, os.SEEK_END)

    def since(self, address: str, *words: str) -> str:
        """ "" where the kernel said nothing of it, or may not be listened to. Closes the log."""
        found = ""
        while self._fd >= 0:
            try:
                record = os.read(self._fd, 8192).decode(errors="replace")
            except BrokenPipeError:  # overwritten meanwhile: the next read goes on with what is left
                continue
            except OSError:
                break
            text = record.partition(";")[2].partition("\n")[0]
            if any(one in text for one in (address, *words)):
                found = text.strip()
        self.close()
        return found

    def past(self) -> tuple[str, ...] | None:
        """All that is left of what it has said since it booted; None where it may not be listened to."""
        if self._fd < 0:
            return None
        lines = []
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while True:
                with suppress(BrokenPipeError):
                    record = os.read(self._fd, 8192).decode(errors="replace")
                    lines.append(record.partition(";")[2].partition("\n")[0])
        except OSError:  # the end, which would be waited for
            self.close()
        return tuple(lines)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()
