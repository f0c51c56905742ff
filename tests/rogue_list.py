"""Every planted fault of the tests.

What it is called, what must catch it, and the test that shows that it does.

`python -m tests.rogues --list` prints it. Rogues stand in lists and dicts of these files, and some
in a test of their own, which then speaks of a rogue or of what is planted.
"""

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
# Where rogues stand together: module, name there, and the test that runs each.
TABLES = [
    ("rogues", "STEP_ROGUES", "test_checks.py::test_a_rogue_step_is_caught_by_its_check_alone"),
    ("rogues", "MODULE_ROGUES", "test_checks.py::test_a_rogue_module_is_caught_by_its_check_alone"),
    ("rogues", "JUDGE_ROGUES", "test_checks.py::test_a_rogue_judge_is_caught_by_its_check_alone"),
    ("rogue_cards", "CARD_ROGUES", "test_checks.py::test_a_rogue_card_is_refused"),
    (
        "rogues_backward",
        "ROGUES",
        "test_check_gradient.py::test_each_fault_is_caught_by_its_check_alone",
    ),
    ("rogues_expected", "ROGUES", "test_expected_gradients.py::test_a_planted_fault_is_found"),
    ("rogues_graded", "ROGUES", "test_sigma_delta.py::test_a_rogue_is_caught_by_its_name_alone"),
    (
        "rogues_gradients",
        "ROGUES",
        "test_gradients.py::test_each_rogue_is_caught_by_its_check_alone",
    ),
    (
        "rogues_losses",
        "LOSS_ROGUES",
        "test_check_loss.py::test_a_rogue_loss_is_caught_by_its_check_alone",
    ),
    (
        "rogues_losses",
        "SURROGATE_ROGUES",
        "test_check_loss.py::test_a_rogue_surrogate_is_caught_by_its_check_alone",
    ),
    (
        "rogues_readouts",
        "ROGUES",
        "test_readout_modules.py::test_a_rogue_read_out_fails_by_its_output_alone",
    ),
    (
        "rogues_recorded",
        "RECORDINGS",
        "test_recorded_files.py::test_a_rogue_recording_fails_where_it_was_planted_and_says_how",
    ),
    ("rogues_rules", "RULES", "test_rules.py::test_a_rogue_turns_the_test_of_its_rule_red"),
    (
        "rogues_srm",
        "ROGUES",
        "test_srm.py, test_loihi.py::test_a_rogue_of_the_family_is_caught_by_its_check_alone",
    ),
    ("rogues_substeps", "ROGUES", "test_substeps.py::test_each_rogue_is_found_by_its_check_first"),
    ("test_bound", "ROGUES", "test_bound.py::test_a_bound_that_is_too_small_is_found"),
    (
        "test_check_card",
        "ROGUES",
        "test_check_card.py::test_a_rogue_card_is_caught_by_its_check_alone",
    ),
    ("test_delay", "ROGUES", "test_delay.py::test_each_fault_is_caught_by_its_check_alone"),
    (
        "test_expected_oracle",
        "FAULTS",
        "test_expected_oracle.py::test_a_fault_that_all_of_refsim_shares_is_seen_by_the_tree",
    ),
    (
        "test_experiment_rogues",
        "ROGUES",
        "test_experiment_rogues.py::test_a_rogue_is_caught_by_name",
    ),
    ("test_nir_rogues", "ROGUES", "test_nir_rogues.py::test_each_fault_is_seen_by_the_oracle"),
    ("test_quantise", "ROGUES", "test_quantise.py::test_each_fault_is_caught_by_its_check"),
    ("test_replay", "FAULTS", "test_replay.py::test_the_culprits_are_the_layers_that_were_changed"),
    ("test_script", "FAULTS", "test_script.py::test_a_changed_script_is_caught"),
    ("test_sequence", "FAULTS", "test_sequence.py::test_a_fault_in_the_fast_way_is_seen"),
    (
        "test_sinabs_rockpool",
        "ROGUES",
        "test_sinabs_rockpool.py::test_a_misread_convention_is_found_by_name",
    ),
    (
        "test_spikingjelly",
        "ROGUES",
        "test_spikingjelly.py::test_a_misread_convention_is_found_by_its_name",
    ),
    (
        "test_streams",
        "ROGUES",
        "test_streams.py::test_a_wrong_stream_is_caught_by_its_events_alone",
    ),
]
# Files whose one rogue is no table: what it is, and the test that catches it.
ALONE = [
    ("rogue_engine.py", "a benchmark engine with one spike moved", "test_benchmarks.py"),
    (
        "test_pair.py",
        "report.json and report.html written one after the other",
        "test_pair.py::test_files_written_in_turn_are_caught",
    ),
    (
        "test_working_folder.py",
        "packages imported inside the working folder",
        "test_working_folder.py::test_settings_in_the_working_folder_are_not_read",
    ),
    (
        "test_versions.py",
        "membranes that stay in Brian2's memory",
        "test_versions.py::test_membranes_are_not_in_brian2s_memory",
    ),
    (
        "test_whole_files.py",
        "a process that dies between two entries of an archive",
        "test_whole_files.py::test_killed_between_two_files_a_zip_is_no_half",
    ),
]


def flat(found: Any, test: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each rogue of a table, and what catches it: a check by name, or a test."""
    if isinstance(found, Mapping):
        for name, value in found.items():
            if isinstance(value, list):
                yield from flat(value, test)
                continue
            named = value[0] if isinstance(value, tuple) and isinstance(value[0], str) else ""
            yield str(name), named
        return
    for entry in found:
        rogue = entry[-1] if isinstance(entry, tuple) else entry
        yield (
            (rogue, "") if isinstance(rogue, str) else (rogue.name, getattr(rogue, "caught_by", ""))
        )


def _in_tests() -> Iterator[tuple[str, str, str]]:
    """Yield the tests that plant their own rogue, as their name or first line says."""
    told = {*(test for _, _, test in TABLES), *(test for _, _, test in ALONE)}
    for path in sorted(TESTS.glob("test_*.py")):
        text = path.read_text("utf-8")
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            # Tests that are given a rogue of a table, or count those of one, plant none of their
            # own.
            given = {argument.arg for argument in node.args.args} & {"rogue", "fault"}
            test, source = f"{path.name}::{node.name}", ast.get_source_segment(text, node) or ""
            if given or test in told or "ROGUE" in source or "every_rogue" in node.name:
                continue
            if re.search(r"(\b|_)(rogue|planted)\b", source):
                said = (ast.get_docstring(node) or "").split("\n")[0]
                yield path.name, said or node.name.removeprefix("test_").replace("_", " "), test


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield file, rogue, and what catches it, of every planted fault."""
    for module, name, test in TABLES:
        for rogue, check in flat(getattr(importlib.import_module(module), name), test):
            yield (
                f"{module}.py",
                rogue,
                check if "::" in check else f"{check}, {test}" if check else test,
            )
    yield from ALONE
    yield from _in_tests()


def main(arguments: list[str]) -> int:
    """Print the list."""
    if arguments != ["--list"]:
        print("usage: python -m tests.rogues --list", file=sys.stderr)
        return 2
    last, count = "", 0
    for file, rogue, test in rows():
        if file != last:
            print(f"\n{file}" if last else file)
        print(f"  {rogue}\n      caught by {test}")
        last, count = file, count + 1
    print(f"\n{count} rogues")
    return 0
