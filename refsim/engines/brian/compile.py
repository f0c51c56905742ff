"""Compile a network once with Brian2's C++ standalone, and keep the program.

First two translation units instead of one a code object, because most of a compiler's time goes
into reading the same headers again. Then the program: its key, its folder, its compilation.
"""

import functools
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from ...cards.neuron import NeuronModel
from ...core.errors import RefsimError
from ...networks.network import Layer
from ...networks.recording import installed_version
from .cache import (
    cache_folder,
    clear_away,
    compile_lock,
    disk_full,
    explained_disk,
    is_whole,
    keep_small,
    seal,
    touch,
)
from .children import Scratch, child, exit_code
from .functions import brian_function, calls
from .network import (
    Structure,
    build_network,
    card_names,
    check_units,
    cpp_functions,
    explained,
    group_name,
    layer_constants,
)
from .session import COMPILER_FLAGS, BrianObject, session

_INCLUDE = re.compile(r"^\s*#include\s*([<\"][^>\"]+[>\"])", re.MULTILINE)
_DECLARED = re.compile(r"^void (\w+)\(\);", re.MULTILINE)
_COMMON = ("objects", "network", "run", "synapses_classes", "main")


def write_two_units(project: Path) -> list[str]:
    """Write two files that include all that Brian2 wrote for a project, and return their names.

    Each code object brings the same helpers in an unnamed namespace. So each is put into a
    namespace of its own, behind the headers of all, and what its header declares calls into that.
    """
    objects = sorted((project / "code_objects").glob("*.cpp"))
    texts = [path.read_text("utf-8") for path in objects]
    lines = [
        f"#include {name}"
        for name in dict.fromkeys(name for text in texts for name in _INCLUDE.findall(text))
    ]
    for path in objects:
        space = f"of_{path.stem}"
        lines.append(f'namespace {space} {{\n#include "code_objects/{path.name}"\n}}')
        lines += [
            f"void {name}() {{ {space}::{name}(); }}"
            for name in _DECLARED.findall(path.with_suffix(".h").read_text("utf-8"))
        ]
    (project / "code_objects.cpp").write_text("\n".join(lines) + "\n", "utf-8")
    (project / "common.cpp").write_text(
        "".join(f'#include "{name}.cpp"\n' for name in _COMMON), "utf-8"
    )
    return ["code_objects.cpp", "common.cpp"]


_HERE = Path(__file__).parent
_HEADERS = [
    "<cstdio>",
    "<cstdlib>",
    "<cstring>",
    "<vector>",
    "<algorithm>",
    "<stdint.h>",
    "<fcntl.h>",
    "<unistd.h>",
    "<sys/mman.h>",
    "<sys/stat.h>",
]
# What a compiler prints on a full disk, and bytes that are too few for it.
_NO_ROOM, _LITTLE = "No space left on device", 1 << 20
# Variables of a make around us: with those of `make -n` nothing would be compiled.
_OF_AN_OUTER_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
ENDLESS = 1e9  # steps; a run ends itself after the last step of its input


def compiled(structure: Structure) -> Path:
    """Return the folder of the compiled program, which is made now unless it is there already.

    Raises
    ------
    RefsimError
        Where there is no compiler, it fails, or the disk is full.
    """
    compiler = find_compiler()
    key = _key(structure, compiler)
    folder = cache_folder() / key
    if not is_whole(folder):
        with explained_disk(), compile_lock(key):
            # Another process may have made it while we waited for the lock.
            if not is_whole(folder):
                _compile(structure, compiler, folder)
                keep_small()
    touch(folder)
    return folder


def find_compiler() -> str:
    """Return the name of the C++ compiler; without one, raise an error that says what works."""
    name = os.environ.get("CXX", "g++").split()[0]
    for tool in (name, "make"):
        if shutil.which(tool) is None:
            raise RefsimError(
                f"'{tool}' was not found. Networks are compiled with a C++ compiler and make: "
                "install both, or, from Python, run small networks with target='numpy'."
            )
    return name


def _key(structure: Structure, compiler: str) -> str:
    """Return the name of a program, a checksum of all that goes into it."""
    sources = [path.read_bytes() for path in sorted(_HERE.glob("*.[cp][py]*"))]
    layers = [
        (_card_facts(layer.model), layer.n_post, _wiring(layer), layer_constants(layer))
        for layer in structure.network.layers
    ]
    facts = (
        layers,
        structure.fine,
        structure.source,
        structure.dtype,
        structure.batch,
        structure.gap,
        structure.traces,
        compiler,
        _compiler_facts(compiler),
        COMPILER_FLAGS,
        installed_version("brian2"),
        installed_version("numpy"),
    )
    return "refsim-" + hashlib.sha256(repr(facts).encode() + b"".join(sources)).hexdigest()[:32]


def _card_facts(model: NeuronModel) -> tuple[object, ...]:
    """Return what of a card is compiled in.

    The text of its file would not show that a model was changed after it was loaded.
    """
    states = [(name, state.unit, state.only, state.at) for name, state in model.state.items()]
    steps = (
        model.discrete.texts,
        len(model.discrete.integrate),
        len(model.discrete.modulate),
        model.discrete.readout,
        model.discrete.payload,
        model.discrete.over_steps,
    )
    inputs = (model.input_kind, list(model.inputs.items()), model.input_unit)
    return (
        states,
        model.constant_units,
        inputs,
        list(model.draws),
        repr(model.kernels),
        repr(model.continuous),
        steps,
    )


def _wiring(layer: Layer) -> list[tuple[int, int, bool]]:
    """Return what is compiled in of each connection: its source, its width, and whether it delays.

    The delays themselves are read at the start of a run.
    """
    return [(source.layer, source.width, source.delayed) for source in layer.sources]


@functools.cache
def _compiler_facts(compiler: str) -> tuple[str, str]:
    """Return the compiler's version, and its settings for this processor."""
    questions = (
        [compiler, "-dumpfullversion", "-dumpversion"],
        [compiler, "-march=native", "-Q", "--help=target"],
    )
    version, machine = (
        subprocess.run(words, capture_output=True, text=True, check=False).stdout
        for words in questions
    )
    return version, machine


def _compile(structure: Structure, compiler: str, folder: Path) -> None:
    """Build in a temporary folder, and move what is needed into place at the end."""
    near = folder.with_name(f"tmp-{folder.name}")
    clear_away(near)  # left by a process that was killed, since the lock is ours
    with Scratch() as work:
        try:
            project = work / "project"
            names = _generate(structure, project)
            _make(project, compiler)
            near.mkdir(mode=0o700)
            shutil.copy2(project / "main", near / "main")
            shutil.copytree(project / "static_arrays", near / "static_arrays")
            seal(near, results=names)
            clear_away(folder)  # damaged, or not there
            near.rename(folder)  # in one move, so that a reader sees the whole program or none
        finally:
            shutil.rmtree(near, ignore_errors=True)


def _make(project: Path, compiler: str) -> None:
    """Compile a project; the compiler ends with us."""
    with open(project.parent / "said", "wb") as said:
        words = ["make", "-j2", f"CXX={compiler}", f"SRCS={' '.join(write_two_units(project))}"]
        ours = {
            name: value for name, value in os.environ.items() if name not in _OF_AN_OUTER_MAKE
        } | {"LC_ALL": "C", "TMPDIR": str(project.parent)}
        with child(words, cwd=project, stdout=subprocess.DEVNULL, stderr=said, env=ours) as process:
            code = exit_code(process)
    text = (project.parent / "said").read_text("utf-8", errors="replace").strip()
    if code and (_NO_ROOM in text or shutil.disk_usage(project).free < _LITTLE):
        raise disk_full()
    if code:
        raise RefsimError(f"the C++ compiler failed on the network: {text[-600:]}")


def _generate(structure: Structure, project: Path) -> list[dict[str, str]]:
    """Let Brian2 write the C++ project, and return the files of its traces.

    Returns
    -------
    list of dict of str to str, one a layer
        The file that the program will leave of each recorded variable.
    """
    texts = cpp_functions(structure)
    others = {
        call.unit: call
        for index, layer in enumerate(structure.network.layers)
        for call in calls(layer, group_name(index), fine=structure.fine)
    }

    # The function that Brian2 calls by a name, as `build_network` asks for it.
    def function(name: str) -> BrianObject:
        if name in others:
            return brian_function(brian2, others[name], lambda *_: 0.0, texts[name], _HEADERS)
        if name not in texts:
            return None
        new = brian2.Function(lambda now: 0.0, arg_units=[1], return_unit=1, stateless=False)
        new.implementations.add_implementation(
            "cpp", code=texts[name], name=f"{name}_call", compiler_kwds={"headers": _HEADERS}
        )
        return new

    # Units are checked on the NumPy target, since a device that writes C++ has no values.
    with session("numpy", structure.dtype, structure.network.dt) as brian2:
        for layer in structure.network.layers:
            check_units(brian2, layer.model)
    with session(
        "cpp_standalone", structure.dtype, structure.network.dt, project, literal=not structure.fine
    ) as brian2:
        network, _, traces = build_network(structure, brian2, function)
        with explained(card_names(structure.network)):
            network.run(ENDLESS * brian2.defaultclock.dt, namespace={})
        brian2.device.build(directory=str(project), compile=False, run=False)

        def file_of(monitor: BrianObject, variable: str) -> str:
            return Path(brian2.device.get_array_filename(monitor.variables[variable])).name

        return [
            {key: file_of(monitor, key) for key in monitor.record_variables}
            if monitor is not None
            else {}
            for monitor in traces
        ]
