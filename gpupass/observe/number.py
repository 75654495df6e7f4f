"""Numbers as the kernel writes them; pure."""


def number(text: str | None, base: int = 10) -> int | None:
    """None for what is no number of 64 bits: a torn record, a newer kernel, a device that dies."""
    try:
        found = int((text or "")[:70], base)
    except ValueError:
        return None
    return found if found.bit_length() <= 64 else None
