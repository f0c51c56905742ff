"""Planted faults in refsim itself.

Each puts back what it did before a rule was made, and one test of that rule turns red.

A rogue is planted while the test runs and taken away behind it; `test_rules.py` runs them, and
`python -m tests.rogues --list` prints them beside all others.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rule:
    """A rule, what is planted against it, and the test that must turn red.

    Attributes
    ----------
    name : str
        What refsim did before.
    caught_by : str
        ``"test_doors.py::test_..."``, with its parameters where it has some.
    plant : function of a pytest.MonkeyPatch
    raises : tuple of exceptions
        That a user met for want of the rule.
    """

    name: str
    caught_by: str
    plant: Callable[[Any], None]
    raises: tuple[type[Exception], ...] = ()  # what came of it besides a wrong answer or sentence


def put(where: str, value: Any) -> Callable[[Any], None]:
    """Return what puts a value in the place of a module's attribute, ``"refsim.core.units._read"``,
    which must be there.
    """
    module, name = where.rsplit(".", 1)

    def plant(monkeypatch: Any) -> None:
        monkeypatch.setattr(import_module(module), name, value)

    return plant


def change(where: str, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return what puts in the place of an attribute something that is made of it."""
    module, name = where.rsplit(".", 1)

    def plant(monkeypatch: Any) -> None:
        monkeypatch.setattr(import_module(module), name, make(getattr(import_module(module), name)))

    return plant


def both(*plants: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what plants several, which are one fault."""

    def plant(monkeypatch: Any) -> None:
        for each in plants:
            each(monkeypatch)

    return plant


def _slopes_by_size(left: Any, right: Any, sign: float) -> dict[str, Any]:
    """Let ``v + (x - v)*rate`` gain 1 + rate a step, as bounds without derivatives do."""
    found = dict(left)
    for name, (centre, width) in right.items():
        old = found.get(name, (0.0, 0.0))
        found[name] = (abs(old[0]) + abs(centre), old[1] + width)
    return found


def _without_scaler(monkeypatch: Any) -> None:
    framework = import_module("refsim.modules.frameworks.spikingjelly").SPIKINGJELLY
    monkeypatch.setitem(vars(framework), "passive", framework.passive - {"VoltageScaler"})


def _endless_pickle(monkeypatch: Any) -> None:
    """No walk before the load, and a key that takes some seconds, not for ever."""
    words = import_module("test_hostile_words")
    endless = b"\x80\x02}" + words.tower(27) + words.text("x") + b"s."
    monkeypatch.setitem(words.PICKLES, "a set", endless)
    monkeypatch.setattr(import_module("refsim.files.weights"), "check_pickle", lambda *_: None)


def _no_calls(*_: Any) -> Any:
    return import_module("refsim.modules.repeated").Calls()


def _in_place(path: Any) -> Any:
    return contextlib.nullcontext(import_module("pathlib").Path(path))


def _open_parts(findings: Any) -> str:
    """Let the heading follow the claims alone."""
    return str(import_module("refsim.core.claims").overall(findings.verdicts))


RULES = [
    # the judge
    Rule(
        "an error of rounding is counted once for each time that a state is read: bounds grow "
        "without end",
        "test_rules.py::test_a_gross_fault_that_shows_late_is_no_tie[100-float32]",
        put("refsim.judge.bounded._joined", _slopes_by_size),
    ),
    Rule(
        "the read-out's bound grows as well, and hides a wrong one",
        "test_rules.py::test_a_readout_that_is_wrong_late_is_no_tie",
        put("refsim.judge.bounded._joined", _slopes_by_size),
    ),
    Rule(
        "a NaN that stays silent is no fault",
        "test_replay.py::test_a_membrane_that_is_no_number_is_named_and_never_passes",
        put("refsim.engines.pytorch.first_lost", lambda _taps: None),
    ),
    Rule(
        "NaN is written to report.json as it is",
        "test_pair.py::test_what_is_no_number_is_saved_and_named",
        put(
            "refsim.report.report.as_json_data",
            lambda value, where="": (json.loads(json.dumps(value, default=np.ndarray.tolist)), {}),
        ),
    ),
    Rule(
        "a recording is held against float64 alone, and rounding excuses nothing",
        "test_recorded.py::test_rounding_is_allowed_for_as_in_any_comparison",
        change(
            "refsim.judge.recorded.as_recording",
            lambda made: (
                lambda taken, network, drive, _dtype, *rest: made(
                    taken, network, drive, "float64", *rest
                )
            ),
        ),
    ),
    Rule(
        "the heading follows the claims, and not the runs beside them",
        "test_rules.py::test_heading_and_sentence_are_one_verdict",
        lambda monkeypatch: monkeypatch.setattr(
            import_module("refsim.cases.findings").Findings, "verdict", property(_open_parts)
        ),
    ),
    Rule(
        "what explains a difference is not looked for",
        "test_conventions.py::test_a_report_names_the_convention",
        put("refsim.cases.findings.explaining_traits", lambda *_: []),
    ),
    Rule(
        "wrong event streams pass",
        "test_streams.py::test_a_wrong_stream_is_caught_by_its_events_alone[swapped]",
        both(
            put("refsim.judge.comparison.compare_streams", lambda *_: ()),
            put("refsim.judge.streams.compare_streams", lambda *_: ()),
        ),
    ),
    Rule(
        "of layers that nobody recorded a pass counts the spikes too",
        "test_rules.py::test_a_pass_says_which_layers_were_recorded",
        put("refsim.report.sentence._unrecorded", lambda _found: []),
    ),
    # the module as its owner runs it
    Rule(
        "a module that answers two equal calls differently passes",
        "test_calls.py::test_a_module_that_puts_back_one_layer_alone_is_no_pass",
        put("refsim.modules.trial.called_twice", _no_calls),
    ),
    Rule(
        "compare() says nothing of equal calls",
        "test_rules.py::test_two_runs_that_are_compared_are_judged_as_their_owner_calls_them",
        put("refsim.report.validate.judge_calls", lambda _trial: []),
    ),
    Rule(
        "a module that is set to train is judged without a word",
        "test_training_mode.py::test_the_report_says_that_a_module_was_set_to_train[True]",
        put("refsim.modules.trial.otherwise_in_training", lambda *_: ()),
    ),
    Rule(
        "one neuron object behind two maps goes unseen",
        "test_sharing.py::test_a_neuron_that_keeps_one_state_behind_two_maps_is_a_slip",
        put("refsim.modules.shared._shared", lambda *_: {}),
        (IndexError,),
    ),
    Rule(
        "a cell that is handed its states is one layer",
        "test_sharing.py::test_a_cell_that_is_handed_its_states_is_as_many_layers[Handed]",
        put("refsim.modules.shared._shared", lambda *_: {}),
    ),
    Rule(
        "a delayed reset is never due in the first step",
        "test_snntorch.py::test_a_threshold_below_zero_owes_a_reset_before_the_first_step",
        change(
            "refsim.cards.traits._owed_at_start",
            lambda made: lambda *given: {**made(*given), "text": "0*1"},
        ),
    ),
    Rule(
        "a plain factor between neurons is refused",
        "test_spikingjelly_nets.py::"
        "test_a_converted_network_has_plain_factors_between_its_neurons[s]",
        _without_scaler,
    ),
    Rule(
        "a parameter that moves while a module runs goes unseen",
        "test_true_reasons.py::"
        "test_a_parameter_that_moves_while_the_module_runs_is_named[threshold]",
        put("refsim.modules.run._moved", lambda *_: ""),
    ),
    Rule(
        "a subclass of a framework's layer is read as that layer without a word",
        "test_true_reasons.py::"
        "test_a_class_of_ones_own_is_read_as_what_it_is_made_from_and_told_of[Renamed-pass-]",
        put("refsim.modules.trial.user_classes", lambda _parts: ()),
    ),
    Rule(
        "under autocast membranes are short",
        "test_autocast.py::"
        "test_neurons_fire_under_autocast_as_they_do_on_the_same_input_in_float32[SRIF]",
        put("refsim.pytorch.layers.autocast_in_use", lambda _device: False),
    ),
    # doors
    Rule(
        "a time without its unit is taken for seconds",
        "test_doors.py::test_a_number_without_its_unit_is_refused[a text as dt]",
        put("refsim.core.units._check_has_unit", lambda *_: None),
    ),
    Rule(
        "NaN in a weight is told without its place",
        "test_doors.py::test_a_number_that_is_none_is_named_where_it_stands[weight]",
        put("refsim.core.arrays.first_wrong", lambda *_: "it holds NaN or infinity"),
    ),
    Rule(
        "the rectifier of srif_mpr says nothing of a threshold that it moves",
        "test_doors.py::test_a_rectifier_that_changes_spikes_says_so[0.25]",
        put("refsim.networks.network.warn", lambda *_, **__: None),
    ),
    Rule(
        "a tensor that says otherwise than the description is left aside",
        "test_validate.py::test_a_tensor_that_says_otherwise_than_the_description_is_refused",
        put(
            "refsim.files.described.against_declared", lambda left, _network: (frozenset(left), {})
        ),
    ),
    Rule(
        "a skipped check need not exist",
        "test_runner.py::test_a_check_is_skipped_in_one_way[judge]",
        put("refsim.checks.suite.names_skipped", lambda skip, *_: set(skip)),
    ),
    Rule(
        "cards in seconds are checked at one second a step",
        "test_runner.py::test_a_step_in_seconds_is_held_against_the_card_at_its_dt[1 ms]",
        put("refsim.checks.step.positive_time", lambda *_: 1.0),
    ),
    Rule(
        "a drive's dt is asked for again",
        "test_rules.py::test_a_drive_says_how_long_its_step_is",
        put("refsim.report.validate.is_live", lambda _what: False),
    ),
    Rule(
        "units stand alone, and none is joined to another",
        "test_compound_units.py::test_compound_units_are_those_of_brian2",
        change(
            "refsim.core.units._read",
            lambda honest: lambda text: honest(text if text.strip().isidentifier() else "no unit"),
        ),
    ),
    Rule(
        "a literal with a unit is no part of a card",
        "test_spelling.py::test_brians_words_are_the_cards[a literal]",
        put("refsim.cards.read.without_units", lambda table, _card: table),
    ),
    Rule(
        "a module that draws random numbers is called one that is not linear",
        "test_true_reasons.py::test_an_encoder_that_draws_inside_the_module_is_refused_for_that",
        put("refsim.modules.measure._check_drawn", lambda *_: None),
    ),
    Rule(
        "states that have no default are asked of whoever gives the module",
        "test_true_reasons.py::test_states_without_a_default_are_none_at_the_start",
        put("refsim.modules.run.ways_to_carry", lambda _module: ("",)),
    ),
    Rule(
        "spikes that are given for a readout's output are no more than wrong numbers",
        "test_rules.py::"
        "test_spikes_that_are_taken_for_a_readouts_output_are_told_for_what_they_are",
        put("refsim.cases.against_recorded._like_spikes", lambda _found: []),
    ),
    Rule(
        "a description that the file contradicts passes as if nothing had been ignored",
        "test_validate.py::test_a_tensor_that_says_otherwise_than_the_description_is_refused",
        change(
            "refsim.report.sentence._same",
            lambda made: lambda findings: made(replace(findings, data={})),
        ),
    ),
    Rule(
        "a layer that fires in every step is a witness like another",
        "test_rules.py::test_a_layer_that_fires_in_every_step_is_no_strong_witness",
        put("refsim.report.sentence._always", lambda *_: False),
    ),
    # files of others
    Rule(
        "a name of the engines' own is taken",
        "test_card_texts.py::test_a_name_of_refsims_own_is_refused_by_name[parameter-gap]",
        put("refsim.cards.names.RESERVED", frozenset()),
    ),
    Rule(
        "powers of whole numbers are left to Brian2",
        "test_card_texts.py::test_powers_and_floors_are_spelled_for_brian2[2**(-1)*v-0.5*v]",
        lambda monkeypatch: monkeypatch.setattr(
            import_module("refsim.engines.brian.text")._Spelled,
            "visit_BinOp",
            lambda self, node: self.generic_visit(node),
        ),
    ),
    Rule(
        "characters that no reader sees reach scripts",
        "test_card_texts.py::"
        "test_what_is_no_part_of_the_language_is_refused_when_the_card_is_loaded",
        put("refsim.cards.language._check_characters", lambda *_: None),
    ),
    Rule(
        "a checkpoint is loaded before anybody looks how large it becomes",
        "test_hostile_words.py::test_a_pickle_that_never_ends_is_refused_at_once[a set-False]",
        _endless_pickle,
    ),
    Rule(
        "a crash has the exit code of a fail",
        "test_hostile_words.py::test_a_crash_has_an_exit_code_of_its_own_and_asks_for_a_report",
        put("refsim.__main__.crashed", lambda _error: 1),
    ),
    Rule(
        "a network is written over the old one",
        "test_whole_files.py::"
        "test_a_writer_that_is_stopped_at_the_last_leaves_the_old_file[net.refsim]",
        put("refsim.files.refsim_file.whole", _in_place),
    ),
    Rule(
        "a NIR file is written over the old one",
        "test_whole_files.py::"
        "test_a_writer_that_is_stopped_at_the_last_leaves_the_old_file[net.nir]",
        put("refsim.files.hdf5.whole", _in_place),
    ),
]
