"""The C stand-in of the driver nvidia is layered: a file uses only what files linked before it define."""

import re
from pathlib import Path

import gpupass.lab

FOLDER = Path(gpupass.lab.__file__).parent / "modules/nvidia_standin"


def _declared(header: str) -> set[str]:
    functions = re.findall(r"^[a-z][^{}#]*?\b(\w+)\([^()]*\);", header, re.MULTILINE)
    data = re.findall(r"^extern [\w ]*?(\w+)(?:\[\])?;", header, re.MULTILINE)
    return {*functions, *data}


def test_a_file_uses_only_those_before_it() -> None:
    makefile = (FOLDER / "Makefile").read_text()
    order = re.search(r"-y := (.*)", makefile)[1].replace(".o", ".c").split()
    assert sorted(order) == sorted(path.name for path in FOLDER.glob("*.c"))
    texts = {name: (FOLDER / name).read_text() for name in order}
    declared = _declared((FOLDER / "standin.h").read_text())
    assert {"card_of", "vgpu_types", "card_group", "gpu_probe"} <= declared
    for name in declared:
        definition = re.compile(rf"^(?!static)[a-z][^;()\n]*\b{name}(\[| =|\([^;]*$)", re.MULTILINE)
        (home,) = [file for file, text in texts.items() if definition.search(text)]
        users = {file for file, text in texts.items() if re.search(rf"\b{name}\b", text)} - {home}
        early = [file for file in users if order.index(file) < order.index(home)]
        assert not early, f"{name} of {home} is used by {early}"
