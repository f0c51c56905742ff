"""Beyond one machine: the same portions through Dask's scheduler, on real clusters of processes,
one of them killed.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import mismatches, small_network

import refsim
from refsim import Brian2, Drive, RefsimError
from refsim.__main__ import main
from refsim.engines.brian import cluster

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed: pip install 'refsim[distributed]'"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own warnings are not ours to judge


@pytest.fixture
def workers():
    """A cluster of two worker processes."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as made:
        yield made


def equal(a, b):
    same = all(
        np.array_equal(x.distance, y.distance) and np.array_equal(x.neuron, y.neuron)
        for x, y in zip(a.approach, b.approach, strict=True)
    )
    traces = all(
        np.array_equal(x[name], y[name])
        for x, y in zip(a.traces, b.traces, strict=True)
        for name in x
    )
    columns = all(
        np.array_equal(getattr(x, name), getattr(y, name))
        for x, y in zip(a.spikes, b.spikes, strict=True)
        for name in ("sample", "step", "neuron")
    )
    return same and traces and columns and mismatches(a, b) == [0] * len(a.spikes)


def drives(rng):
    return {
        "events": Drive.bernoulli(rng.random((1500, 12)), 9, "1 ms", 0),
        "current": Drive.current(rng.normal(0.2, 0.3, (1500, 9, 12)), "1 ms"),
    }


def test_one_two_workers_and_dask_are_equal_to_the_bit(workers, rng):
    network = small_network(rng, "srif", "lif")
    drive, record = drives(rng)["events"], ("before_reset", "after_reset")
    one, two = (Brian2(target="cpp", workers=count).run(network, drive, record) for count in (1, 2))
    by_address = Brian2(scheduler=workers.scheduler_address).run(network, drive, record)
    with distributed.Client(workers) as client:
        by_client = Brian2(scheduler=client).run(network, drive, record)
        assert client.status == "running"  # one's own client is left open
    assert len(one.spikes[0]) > 1000
    assert all(equal(one, other) for other in (two, by_address, by_client))


def test_currents_fine_mode_and_the_other_dtype_too(workers, rng):
    network, drive = small_network(rng, "lif", sizes=(12, 3)), drives(rng)["current"]
    options = {"mode": "fine", "refine": 2, "dtype": "float32"}
    assert equal(
        Brian2(target="cpp", **options).run(network, drive),
        Brian2(scheduler=workers.scheduler_address, **options).run(network, drive),
    )


def test_the_weights_go_once_and_the_program_is_compiled_once(workers, rng, monkeypatch, tmp_path):
    sent, network = [], small_network(rng, "srif", sizes=(12, 11))
    with distributed.Client(workers) as client:
        cache = str(tmp_path / "cache")
        client.run(lambda: os.environ.update(REFSIM_CACHE=cache))
        real = client.register_plugin
        monkeypatch.setattr(
            client, "register_plugin", lambda *a, **k: sent.append(a) or real(*a, **k)
        )
        Brian2(scheduler=client).run(network, drives(rng)["events"])
        assert len(sent) == 1
        kept = client.run(
            lambda dask_worker: [name for name in dask_worker.plugins if name.startswith("refsim")]
        )
        assert list(kept.values()) == [[], []]  # the weights are not left behind
        assert len(list((tmp_path / "cache").glob("*/main"))) == 1
    drive = Drive.latency(rng.random((700, 12)), 9, "1 ms")
    assert cluster._packed(drive).listed.sample.dtype == np.int32
    assert np.array_equal(cluster._unpacked(cluster._packed(drive)).spikes.code, drive.spikes.code)


@pytest.mark.parametrize("n_workers", [2, 1])
def test_a_killed_worker_changes_nothing(n_workers, rng):
    """With one worker the weights go with it too, and the one in its place has them from the
    scheduler.
    """
    network, drive = (
        small_network(rng, "srif", "lif"),
        Drive.bernoulli(rng.random((4000, 12)), 400, "1 ms", 0),
    )
    local, killed = Brian2(target="cpp").run(network, drive), []
    with (
        distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as made,
        distributed.Client(made) as client,
    ):
        pids = set(client.run(os.getpid).values())
        Brian2(scheduler=client).run(network, drive.take(np.arange(10)))  # all is compiled

        def kill():
            while not any(client.processing().values()):
                time.sleep(0.005)
            time.sleep(0.1)
            killed.append(min(pids))
            os.kill(killed[0], signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        far = Brian2(scheduler=client).run(network, drive)
        thread.join()
        assert set(client.run(os.getpid).values()) != pids  # it was really gone
    assert equal(local, far)


@pytest.mark.parametrize("n_workers", [2, 1])
def test_a_portion_that_kills_every_worker_is_reported(n_workers, rng, monkeypatch):
    network, drive = small_network(rng, "srif", sizes=(12, 3)), drives(rng)["events"]

    def deadly(name, packed, code):
        import os

        os.kill(os.getpid(), 9)

    monkeypatch.setattr(cluster, "_run_on_worker", deadly)
    made = distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    )
    try:
        with pytest.raises(
            RefsimError, match=r"samples [\d,]+ to [\d,]+ ended each worker that ran them, 4 in all"
        ):
            Brian2(scheduler=made.scheduler_address).run(network, drive)
        with distributed.Client(made) as client:
            # A cluster that closes while it starts one stumbles.
            client.wait_for_workers(n_workers, timeout=30)
    finally:
        # Over a process that it has not started yet.
        with contextlib.suppress(KeyError, AssertionError):
            made.close()


@contextlib.contextmanager
def own_processes(*, workers):
    """A scheduler and workers that nobody starts again.

    Yields their processes, the scheduler first, and a client.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = [sys.executable, "-m", "dask"]
    started = [
        subprocess.Popen(
            [*start, *words.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for words in (
            f"scheduler --host {address} --no-dashboard",
            *[f"worker tcp://{address} --nthreads 1 --no-nanny --no-dashboard"] * workers,
        )
    ]
    try:
        with distributed.Client(f"tcp://{address}", timeout=30, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=30)
            yield started, client
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ("workers", "has lost all its workers in the middle of the run"),
        ("scheduler", "scheduler has gone away in the middle"),
    ],
)
def test_a_cluster_that_goes_for_good_is_not_waited_for(who, says, rng):
    network, drive = (
        small_network(rng, "srif", "lif"),
        Drive.bernoulli(rng.random((4000, 12)), 4000, "1 ms", 0),
    )
    with own_processes(workers=1) as (processes, client):

        def kill():
            while not any(client.processing().values()):
                time.sleep(0.005)
            for process in processes[1:] if who == "workers" else processes[:1]:
                process.kill()

        threading.Thread(target=kill).start()
        start = time.monotonic()
        with pytest.raises(RefsimError, match=says):
            Brian2(scheduler=client.scheduler.address).run(network, drive)
        assert time.monotonic() - start < 60


@pytest.mark.parametrize("failures", [1, 4])
def test_a_worker_that_ends_while_the_job_is_sent(failures, workers, rng, monkeypatch):
    network, drive, sent = small_network(rng, "srif", sizes=(12, 3)), drives(rng)["events"], []
    with distributed.Client(workers) as client:
        real = client.register_plugin

        def closed(*data, **options):
            sent.append(data)
            if len(sent) <= failures:
                raise distributed.comm.CommClosedError("in <TCP local>: Stream is closed")
            return real(*data, **options)

        monkeypatch.setattr(client, "register_plugin", closed)
        if failures == 1:
            assert equal(
                Brian2(scheduler=client).run(network, drive),
                Brian2(target="cpp").run(network, drive),
            )
        else:
            with pytest.raises(
                RefsimError,
                match=(
                    r"workers of \S+ cannot be sent the network \(in <TCP local>: Stream is "
                    r"closed\). Their logs say why"
                ),
            ):
                Brian2(scheduler=client).run(network, drive)


def test_what_a_worker_says_is_passed_on(workers, rng, monkeypatch):
    network, drive = small_network(rng, "srif", sizes=(12, 3)), drives(rng)["events"]
    with distributed.Client(workers) as client:
        client.run(lambda: os.environ.update(CXX="no-such-compiler"))
        with pytest.raises(RefsimError, match="'no-such-compiler' was not found"):
            Brian2(scheduler=client).run(network, drive)


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({"refsim": ""}, "has refsim not installed, and here it is"),
        ({"refsim": "0.0.1"}, "has refsim 0.0.1, and here it is"),
        ({"refsim's code": "0123"}, "has refsim's code 0123, and here it is"),
    ],
)
def test_workers_without_refsim_or_with_another_are_refused(there, says, workers, rng, monkeypatch):
    with distributed.Client(workers) as client:
        real = client.run
        monkeypatch.setattr(
            client,
            "run",
            lambda function, **k: {
                worker: {**found, **there} for worker, found in real(function, **k).items()
            },
        )
        with pytest.raises(RefsimError, match=says) as told:
            Brian2(scheduler=client).run(small_network(rng, "srif"), drives(rng)["events"])
    assert "Install the same 'refsim[distributed]' on every worker" in str(told.value)


def test_a_worker_that_really_has_no_refsim_is_asked_and_says_so():
    """The question is sent as code, and needs no refsim where it is answered."""
    import cloudpickle

    asked = cloudpickle.dumps(cluster._facts())
    code = (
        "import sys, pickle; sys.modules['refsim'] = None; sys.meta_path = [f for f in "
        f"sys.meta_path if 'editable' not in str(f).lower()]; print(pickle.loads({asked!r})())"
    )
    hidden = (
        "import importlib.util as u; real = u.find_spec; u.find_spec = lambda name, *a: "
        "None if name == 'refsim' else real(name, *a); "
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "\"refsim's code\": ''" in done.stdout


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:1",
        "nonsense",
        "tcp://no-such-host.invalid:8786",
        "http://127.0.0.1:80",
        "inproc://nobody",
    ],
)
def test_a_scheduler_that_is_not_there_is_one_sentence(address, capsys):
    start = time.monotonic()
    assert main(["validate", "--scheduler", address]) == 2
    assert time.monotonic() - start < 30
    err = capsys.readouterr().err
    assert f"the scheduler {address} cannot be reached within 5 s" in err
    assert err.count("\n") == 1


def test_what_listens_but_is_no_scheduler_is_not_waited_for(capsys):
    """Dask's client asks again and again, for as long as it is accepted, and says so once more when
    it is thrown away.
    """
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        assert main(["validate", "--scheduler", f"tcp://127.0.0.1:{mute.getsockname()[1]}"]) == 2
        assert time.monotonic() - start < 20
    err = capsys.readouterr().err
    assert "what listens there does not answer as a scheduler" in err
    assert err.count("\n") == 1


def test_a_cluster_in_this_process_is_greeted_too():
    with distributed.LocalCluster(
        n_workers=0, processes=False, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as made:
        assert made.scheduler_address.startswith("inproc://")
        cluster._knock(made.scheduler_address)


def test_a_scheduler_without_workers_and_other_wrong_ones(rng):
    network, drive = small_network(rng, "srif"), drives(rng)["events"]
    with (
        distributed.LocalCluster(
            n_workers=0, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as made,
        pytest.raises(RefsimError, match="has no workers. Start some with `dask worker tcp://"),
    ):
        Brian2(scheduler=made.scheduler_address).run(network, drive)
    with pytest.raises(RefsimError, match="scheduler must be an address such as"):
        Brian2(scheduler=8786).run(network, drive)
    with pytest.raises(RefsimError, match="target='numpy' runs here"):
        Brian2(scheduler="tcp://127.0.0.1:1", target="numpy")


def test_validate_on_a_cluster_says_what_it_says_here(workers, capsys):
    assert main(["validate", "--fine"]) == 0
    here = capsys.readouterr().out
    assert main(["validate", "--fine", "--scheduler", workers.scheduler_address]) == 0
    assert capsys.readouterr().out == here


def test_without_dask_the_extra_is_named(monkeypatch, rng):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RefsimError, match=r"pip install 'refsim\[distributed\]'"):
        Brian2(scheduler="tcp://127.0.0.1:1").run(small_network(rng, "srif"), drives(rng)["events"])


def test_dask_is_imported_for_a_scheduler_only():
    code = (
        "import sys, refsim; refsim.Brian2(); refsim.run; print({'dask', 'distributed'} & "
        "set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )
    assert refsim.Brian2().scheduler is None
