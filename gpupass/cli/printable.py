"""What a terminal is sent of names that others choose: of guests, devices, processes, files, users; pure."""


def printable(text: str) -> str:
    r"""One line without control, format and bidirectional characters: they are spelled, as \x1b or \u202e."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _spelled(sign) for sign in text)


def printable_lines(text: str) -> str:
    """The same of a text of several lines, which may have tabs."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _spelled(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
