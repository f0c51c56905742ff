"""Draw the house: the rooms of refsim as boxes, and who imports whom as arrows.

``python docs/house.py`` writes docs/house.svg, which docs/architecture.md shows, and the list of
files at the end of that page; a test says when they are no longer those of the code. Everything
in the picture is read from the import statements.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "refsim"

# The storeys, from the ground up: a room imports from those below its own, and from none beside it.
STOREYS = [
    ["core"],
    ["cards"],
    ["networks"],
    ["files", "pytorch"],
    ["modules"],
    ["engines"],
    ["gradients", "judge"],
    ["experiments", "export"],
    ["checks"],
    ["cases"],
    ["report"],
    ["commands"],
]
BOX, GAP, ROW = (150, 44), 40, 84


def modules() -> dict[str, Path]:
    """Return the path of each module by its name below refsim; a package has that of its room."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> dict[str, set[str]]:
    """Return for each module the modules that it imports: at its top, inside functions, for types.

    A name that a package hands on is an import of the module that makes it.
    """
    known = modules()
    handed_on = {}
    statements = {}
    for module, path in known.items():
        here = module.split(".") if module else []
        package = here if path.name == "__init__.py" else here[:-1]
        statements[module] = []
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[: len(package) - node.level + 1]
                source = ".".join([*base, *(node.module.split(".") if node.module else [])])
                for alias in node.names:
                    statements[module].append((source, alias.name))
                    if path.name == "__init__.py":
                        handed_on[module, alias.asname or alias.name] = (source, alias.name)
    graph = {}
    for module, wanted in statements.items():
        graph[module] = set()
        for source, name in wanted:
            while (source, name) in handed_on and handed_on[source, name] != (source, name):
                source, name = handed_on[source, name]
            inside = f"{source}.{name}".lstrip(".")
            graph[module].add(inside if inside in known else source)
        graph[module].discard(module)
    return graph


def run_at_import() -> dict[str, set[str]]:
    """Return for each module the modules that run before it, as Python imports them.

    Those are the modules at its top, and the packages around each, which run first. A package that
    the module lies in is running already.
    """
    known = modules()
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        package = [part for part in package if part]
        around = {".".join(package[:end]) for end in range(len(package) + 1)}
        graph[module] = set()
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = package[: len(package) - node.level + 1]
            source = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                inside = f"{source}.{alias.name}".lstrip(".")
                target = inside if inside in known else source
                parts = target.split(".")
                graph[module] |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        graph[module] -= around | {module}
    return graph


def rooms() -> dict[str, set[str]]:
    """Return for each room the rooms that it imports from."""
    names = {room for storey in STOREYS for room in storey}
    found: dict[str, set[str]] = {room: set() for room in names}
    for module, targets in imports().items():
        room = module.split(".")[0]
        if room in names:
            found[room] |= {target.split(".")[0] for target in targets} & names - {room}
    return found


def nearest(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out what follows: an arrow to a room that another arrow leads to already."""

    def beyond(room: str, seen: frozenset[str]) -> set[str]:
        reached = set()
        for target in graph[room] - seen:
            reached |= {target} | beyond(target, seen | {target})
        return reached

    kept = {}
    for room, targets in graph.items():
        kept[room] = {
            target
            for target in targets
            if not any(target in beyond(other, frozenset({room})) for other in targets - {target})
        }
    return kept


def picture() -> str:
    """Return the picture as SVG: a row a storey, the ground floor at the bottom."""
    width = max(len(storey) for storey in STOREYS) * (BOX[0] + GAP) + GAP
    height = len(STOREYS) * ROW + GAP
    places = {}
    for level, storey in enumerate(STOREYS):
        left = (width - len(storey) * (BOX[0] + GAP) + GAP) / 2
        for column, room in enumerate(storey):
            places[room] = (
                left + column * (BOX[0] + GAP),
                height - GAP / 2 - (level + 1) * ROW + 20,
            )
    shapes = []
    for room, targets in sorted(nearest(rooms()).items()):
        for target in sorted(targets):
            (x, y), (to_x, to_y) = places[room], places[target]
            if y == to_y:  # neighbours on one storey
                ends = (x, y + BOX[1] / 2, to_x + BOX[0], to_y + BOX[1] / 2)
                ends = ends if to_x < x else (x + BOX[0], ends[1], to_x, ends[3])
            else:
                ends = (x + BOX[0] / 2, y + BOX[1], to_x + BOX[0] / 2, to_y)
            line = 'x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}"'.format(*ends)
            shapes.append(f'<line {line} stroke="#666" marker-end="url(#tip)"/>')
    for room, (x, y) in sorted(places.items()):
        files = [path for name, path in modules().items() if name.split(".")[0] == room]
        middle = x + BOX[0] / 2
        shapes += [
            f'<rect x="{x:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="4" fill="#fff" '
            'stroke="#000"/>',
            f'<text x="{middle:g}" y="{y + 19:g}" font-weight="bold">{room}</text>',
            f'<text x="{middle:g}" y="{y + 35:g}" font-size="11">{len(files)} files</text>',
        ]
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#666"/></marker>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        'font-family="sans-serif" font-size="14" text-anchor="middle">'
    )
    return "\n".join([head, f"<defs>{tip}</defs>", *shapes, "</svg>"]) + "\n"


LISTED = "## Every file, in its own words\n"


def listing() -> str:
    """Return a line for each file: the first sentence of what it says of itself."""
    lines = [LISTED]
    for path in modules().values():
        words = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        # An empty package says nothing that its room does not say already.
        if path.name != "__init__.py":
            lines.append(f"- `{path.relative_to(ROOT)}`: {words.splitlines()[0]}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the picture, and the list at the end of the page."""
    (ROOT / "docs" / "house.svg").write_text(picture(), "utf-8")
    page = ROOT / "docs" / "architecture.md"
    above = page.read_text("utf-8").partition(LISTED)[0]
    page.write_text(above + listing(), "utf-8")
    sys.stdout.write("docs/house.svg and the list in docs/architecture.md are written\n")


if __name__ == "__main__":
    main()
