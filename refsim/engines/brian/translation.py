"""Two translation units instead of one a code object: most of a compiler's time goes into reading the same headers again."""

import re
from pathlib import Path

_INCLUDE = re.compile(r"^\s*#include\s*([<\"][^>\"]+[>\"])", re.MULTILINE)
_DECLARED = re.compile(r"^void (\w+)\(\);", re.MULTILINE)
_COMMON = ("objects", "network", "run", "synapses_classes", "main")


def gathered(project: Path) -> list[str]:
    """Write two files that include all that Brian2 wrote for a project; return their names.

    Each code object brings the same helpers in an unnamed namespace, so each is put into a namespace of its own, behind the
    headers of all; what its header declares is then forwarded to it.
    """
    objects = sorted((project / "code_objects").glob("*.cpp"))
    texts = [path.read_text("utf-8") for path in objects]
    lines = [f"#include {name}" for name in dict.fromkeys(name for text in texts for name in _INCLUDE.findall(text))]
    for path in objects:
        own = f"of_{path.stem}"
        lines.append(f'namespace {own} {{\n#include "code_objects/{path.name}"\n}}')
        lines += [f"void {name}() {{ {own}::{name}(); }}" for name in _DECLARED.findall(path.with_suffix(".h").read_text("utf-8"))]
    (project / "code_objects.cpp").write_text("\n".join(lines) + "\n", "utf-8")
    (project / "common.cpp").write_text("".join(f'#include "{name}.cpp"\n' for name in _COMMON), "utf-8")
    return ["code_objects.cpp", "common.cpp"]
