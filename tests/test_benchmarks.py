"""The benchmarks: a wrong spike is seen, the page says what the results say, and pictures are
drawn.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import case, contest, plots, readme, scaling, throughput
from benchmarks.roster import ENTRIES, REFERENCE, Entry

ROOT = Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
KEYS = {"engine", "dtype", "samples", "samples_per_cpu_s", "samples_per_s", "peak_mb", "verified"}
KERNEL = next(entry for entry in ENTRIES if entry.name == "hand-written kernel")


@pytest.fixture
def hold(monkeypatch, tmp_path):
    def run(*entries):
        monkeypatch.setattr(throughput, "ENTRIES", (REFERENCE, *entries))
        file = tmp_path / "rows.json"
        code = throughput.main(
            [
                "--samples",
                "8",
                "--rounds",
                "1",
                "--dtype",
                "float32",
                "--json",
                str(file),
                "--plot",
                str(tmp_path / "rows.png"),
            ]
        )
        assert (tmp_path / "rows.png").stat().st_size > 1000
        result = json.loads(file.read_text())
        return code, {row["engine"]: row for row in result["rows"]}, result["absent"]

    return run


def test_a_right_engine_is_verified(hold):
    code, rows, absent = hold(KERNEL, Entry("plain PyTorch loop", "benchmarks.engines.torch_loop"))
    assert code == 0
    assert absent == []
    assert set(rows) == {"refsim", "hand-written kernel", "plain PyTorch loop"}
    assert all(row["verified"] is True and row.keys() >= KEYS for row in rows.values())


def test_one_wrong_spike_turns_a_row_and_the_exit_code(hold):
    code, rows, _ = hold(KERNEL, replace(KERNEL, name="rogue", module="tests.rogue_engine"))
    assert code == 1
    assert rows["rogue"]["verified"] is False
    assert rows["rogue"]["note"].startswith("1 of ")
    assert rows["hand-written kernel"]["verified"] is True
    assert rows["refsim"]["verified"] is False  # somebody who must agree does not


def test_nothing_is_verified_by_itself_and_who_cannot_run_is_told(hold):
    code, rows, absent = hold(Entry("broken", "tests.no_such_engine"))
    assert code == 0
    assert rows["refsim"]["verified"] is None
    assert absent[0].startswith("broken cannot run in float32: ")


@pytest.mark.parametrize("kind", ["equal", "rounding", "other"])
def test_silence_verifies_nothing(kind):
    silent = [np.zeros((2, 3, 4), bool)]
    assert (
        contest.verdict(replace(KERNEL, spikes=kind, because="because"), silent, silent)[0] is False
    )


def test_the_case_is_what_its_text_says():
    drawn = case.make(20)
    for weight in drawn.weights:
        assert np.array_equal(weight, weight.astype(np.float32))
        assert np.array_equal(weight / case.GRID, np.rint(weight / case.GRID))
    assert not (1 / case.GRID).is_integer()
    # Five standard deviations.
    assert drawn.dense.mean() == pytest.approx(
        case.RATE, abs=5 * (case.RATE / drawn.dense.size) ** 0.5
    )
    # Fewer samples are the first of more.
    assert np.array_equal(case.make(5).dense, drawn.dense[:5])


def test_a_bent_cost_is_seen():
    def rows(power):
        return [{"size": size, "cpu_s": 0.01 + size**power} for size in (1.0, 2.0, 4.0, 8.0)]

    straight, bent = scaling.fit(rows(1.0)), scaling.fit(rows(1.5))
    assert straight["deviation_from_line"] < 1e-9  # it is a line, up to rounding
    assert straight["deviation_from_line"] == 0 < 0.1 < bent["deviation_from_line"]
    assert bent["exponent"] > 1.4 > straight["exponent"]


def test_the_page_is_what_the_results_say():
    assert (ROOT / "benchmarks" / "README.md").read_text("utf-8") == readme.write()


def test_the_page_tells_a_missed_target():
    rows = [
        {"engine": name, "dtype": dtype, "samples_per_cpu_s": speed}
        for dtype in ("float32", "float64")
        for name, speed in (("refsim", 10.0), ("Norse", 5.0))
    ]
    lines = readme.ratios({"rows": rows}).splitlines()
    assert lines[2] == f"| {readme.FASTEST} | **2.00** | 3 | missed | **2.00** | 2.5 | missed |"
    assert "not run" in lines[3]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_have_what_a_reader_needs(path, tmp_path):
    result = json.loads(path.read_text("utf-8"))
    assert result["benchmark"] == path.stem
    assert {"cpu", "cores", "versions", "python", "memory_gib"} <= result["machine"].keys()
    assert result["rows"]
    if path.stem == "throughput":
        assert all(row.keys() >= KEYS and row["verified"] is not False for row in result["rows"])
    getattr(plots, path.stem)(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
