"""The `KEY=value` lines of a uevent file; pure."""


def parse_uevent(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
