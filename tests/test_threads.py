"""How many threads a call takes, and where they run: affinity, quotas, FCNN_NUM_THREADS."""

import functools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fcnn
from fcnn import _cgroups, threads

INITIAL = threads._initial.__wrapped__  # what `fresh` replaces, without its memory


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No set_num_threads, no FCNN_NUM_THREADS, no quota; all as before afterwards."""
    monkeypatch.setattr(threads, "_given", None)
    monkeypatch.setattr(threads, "_initial", lambda: None)
    monkeypatch.setattr(threads, "_quota", lambda: None)


@pytest.fixture
def cpus(monkeypatch):
    """A function that sets how many CPUs the affinity mask holds."""

    def hold(count):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)

    hold(8)
    return hold


# --- Usable CPUs ---------------------------------------------------------------------------------


def test_usable_cpus_of_this_machine():
    assert 1 <= threads.usable_cpus() <= os.cpu_count()


def test_affinity_is_read_at_each_call(cpus):
    assert threads.usable_cpus() == 8
    cpus(3)
    assert threads.usable_cpus() == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks")
def test_affinity_of_the_system():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("quota", "usable"), [(None, 8), (1, 1), (3, 3), (8, 8), (64, 8)])
def test_a_quota_limits(monkeypatch, cpus, quota, usable):
    monkeypatch.setattr(threads, "_quota", lambda: quota)
    assert threads.usable_cpus() == usable


@pytest.mark.parametrize(("newer", "older", "usable"), [(5, 9, 5), (None, 9, 1), ("no", 9, 9)])
def test_without_affinity_masks(monkeypatch, newer, older, usable):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: older)
    monkeypatch.setattr(os, "process_cpu_count", lambda: newer, raising=False)
    if newer == "no":  # before Python 3.13
        monkeypatch.delattr(os, "process_cpu_count")
    assert threads.usable_cpus() == usable


def test_a_forbidden_question_and_an_unknown_count(monkeypatch):
    def forbidden(_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", forbidden, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert threads.usable_cpus() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.usable_cpus() == 1


# --- Which of them -------------------------------------------------------------------------------
#
# Of threads that were made for a call; what one may use, it says itself while the call runs.


@pytest.fixture
def mask():
    """A function that gives this thread the first CPUs of its mask, if there are so many."""
    if not sys.platform.startswith("linux"):
        pytest.skip("nobody is pinned on this system")
    before = os.sched_getaffinity(0)

    def hold(count):
        chosen = sorted(before)[:count]
        if len(chosen) < count or chosen[-1] > 63:
            pytest.skip(f"there are no {count} CPUs below 64")
        os.sched_setaffinity(0, chosen)
        return set(chosen)

    yield hold
    os.sched_setaffinity(0, before)


def nothing():
    pass


@pytest.mark.parametrize("which", [0, 1])
def test_a_second_thread_is_where_the_caller_is_not(core, mask, which):
    cpus = mask(2)
    here = sorted(cpus)[which]
    there = cpus - {here}
    # One of the two is where the helper has been put, and then has to leave.
    (cpu, _), (other, allowed) = core.team_placement(2, lambda: os.sched_setaffinity(0, {here}))
    assert (cpu, {other}, allowed) == (here, there, there)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_callers_own_mask_is_kept(core, mask, count):
    cpus = mask(count)
    seen = {}

    def look():
        seen["caller"] = os.sched_getaffinity(0)
        child = threading.Thread(target=lambda: seen.update(thread=os.sched_getaffinity(0)))
        child.start()
        child.join()

    (_, caller), *others = core.team_placement(count, look)
    assert caller == seen["caller"] == seen["thread"] == os.sched_getaffinity(0) == cpus
    # Each other one has a CPU of its own.
    assert [len(allowed) for _, allowed in others] == [1] * (count - 1)
    assert len(set().union(*(allowed for _, allowed in others))) == count - 1


def test_fewer_threads_than_cpus_share_all_but_the_callers(core, mask):
    cpus = mask(3)
    os.sched_setaffinity(0, cpus)
    here = min(cpus)
    _, (_, allowed) = core.team_placement(2, lambda: os.sched_setaffinity(0, {here}))
    assert allowed == cpus - {here}


@pytest.mark.parametrize(("count", "size"), [(1, 2), (1, 4), (2, 3), (2, 8)])
def test_more_threads_than_cpus_are_left_alone(core, mask, count, size):
    cpus = mask(count)
    assert [allowed for _, allowed in core.team_placement(size, nothing)] == [cpus] * size


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it waits awake")
@pytest.mark.parametrize("size", [2, 4])
def test_a_thread_that_waits_for_long_takes_no_time_of_others(core, size):
    """One that offers its processor over and over would take all that others leave."""
    before = time.process_time()
    core.team_placement(size, lambda: time.sleep(0.4))
    assert time.process_time() - before < 0.03


# --- Quotas --------------------------------------------------------------------------------------


@pytest.fixture
def quota(tmp_path):
    """A function that reads the quota from such a membership file and such files of cgroups."""

    def read(membership, files):
        if membership is not None:
            (tmp_path / "membership").write_bytes(membership.encode("latin-1"))
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("latin-1"))
        return limit(str(tmp_path / "membership"), str(tmp_path / "cgroup"))

    return read


def limit(membership, root, controller="cpu"):
    of = {"cpu": threads._group_quota, "memory": _cgroups.memory_of}[controller]
    return _cgroups.least(controller, of, membership, root)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b\n", {"a/memory.max": "3000\n", "a/b/memory.max": "max\n"}, 3000),
        ("0::/a/b\n", {"a/memory.max": "3000\n", "a/b/memory.max": "2000\n"}, 2000),
        ("0::/outside\n", {"memory.max": "2000\n"}, 2000),
        ("5:memory:/a\n4:cpu:/b\n", {"memory/a/memory.limit_in_bytes": "4096\n"}, 4096),
        ("5:memory:/a\n", {"memory/a/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, None),
        ("4:cpu:/b\n", {"cpu/b/memory.limit_in_bytes": "4096\n"}, None),
        ("0::/a\n", {"a/cpu.max": "100000 100000\n"}, None),
        (None, {"memory.max": "2000\n"}, 2000),
        ("0::/a\n", {"a/memory.max": "nonsense"}, None), ("0::/a\n", {"a/memory.max": "0"}, None),
    ],
)  # fmt: skip
def test_memory_is_limited_as_cpus_are(tmp_path, membership, files, expected):
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    found = limit(str(tmp_path / "membership"), str(tmp_path / "cgroup"), "memory")
    assert found == expected


@pytest.mark.parametrize(
    ("content", "cpus"),
    [
        ("max 100000\n", None),
        ("100000 100000\n", 1),
        ("150000 100000\n", 1),  # a fraction is not counted
        ("199999 100000\n", 1),
        ("200000 100000\n", 2),
        ("25000 10000\n", 2),
        ("1000 100000\n", 1),
        ("6400000 100000\n", 64),
    ],
)
def test_cgroup_v2(quota, content, cpus):
    assert quota("0::/job\n", {"job/cpu.max": content}) == cpus


def test_the_tightest_group_counts(quota):
    files = {
        "a/cpu.max": "400000 100000\n",
        "a/b/cpu.max": "200000 100000\n",
        "a/b/c/cpu.max": "max 100000\n",
        "a/b/c/d/cpu.max": "300000 100000\n",
        "a/other/cpu.max": "100000 100000\n",
    }
    assert quota("0::/a/b/c/d\n", files) == 2
    assert quota("0::/a\n", files) == 4
    assert quota("0::/\n", files) is None


@pytest.mark.parametrize("membership", ["0::/\n", "0::/../..\n", "0::/docker/of-the-host\n", None])
def test_a_container_sees_its_group_as_the_root(quota, membership):
    assert quota(membership, {"cpu.max": "300000 100000\n"}) == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("folder", ["", "docker/", "docker/abc/"])
def test_cgroup_v1(quota, mount, folder):
    membership = "5:memory:/other\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n0::/\n"
    files = {
        f"{mount}/{folder}cpu.cfs_quota_us": "250000\n",
        f"{mount}/{folder}cpu.cfs_period_us": "100000\n",
        "cpu/docker/abc/cpu.shares": "1024\n",
        "memory/other/cpu.max": "100000 100000\n",
    }
    assert quota(membership, files) == 2
    assert quota(membership, {f"{mount}/{folder}cpu.cfs_quota_us": "-1\n"}) is None


def test_cgroup_v1_without_a_membership_file(quota):
    files = {"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert quota(None, files) == 4


@pytest.mark.parametrize(
    "membership",
    ["", "\n", "nonsense\n", "0:\n", "::::\n", "0::\n", "0::relative\n", "0::/caf\xe9\x00\n"],
)
def test_an_odd_membership_file(quota, membership):
    assert quota(membership, {}) is None


@pytest.mark.parametrize(
    "content",
    [
        "", "\n", "max", "100000", "1 2 3", "one two", "1.5 1.0", "100000 0", "0 100000",
        "-1 100000", "100000 -1", "-1 -1", "\xff\xfe", "9" * 5000 + " 1", "\x00",
    ],
)  # fmt: skip
def test_an_odd_quota_is_none(quota, content):
    assert quota("0::/job\n", {"job/cpu.max": content}) is None
    assert quota("0::/job\n", {"cpu.max": "200000 100000"}) == 2  # and does not hide another


def test_folders_where_files_should_be(tmp_path):
    (tmp_path / "cpu.max").mkdir()
    assert limit(str(tmp_path), str(tmp_path)) is None
    assert limit(str(tmp_path / "no"), str(tmp_path / "such")) is None


def test_the_quota_is_read_once(monkeypatch):
    monkeypatch.undo()  # the real _quota
    calls = []
    monkeypatch.setattr(_cgroups, "least", lambda *asked: calls.append(asked))
    threads._quota.cache_clear()
    threads.usable_cpus()
    threads.usable_cpus()
    threads._quota.cache_clear()
    assert calls == [("cpu", threads._group_quota)]


# --- The number of threads -----------------------------------------------------------------------


def test_none_is_all_usable_cpus(cpus):
    assert fcnn.get_num_threads() == 8
    assert threads.resolve(None) == 8


def test_set_num_threads(cpus):
    fcnn.set_num_threads(3)
    assert fcnn.get_num_threads() == 3
    assert threads.resolve(None) == 3
    assert threads.resolve(5) == 5  # an explicit number is not affected
    fcnn.set_num_threads(np.int32(100))
    assert threads.resolve(None) == 8
    cpus(2)
    assert threads.resolve(None) == 2
    fcnn.set_num_threads(1)
    assert threads.resolve(None) == 1
    fcnn.set_num_threads(None)
    assert threads.resolve(None) == 2


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 2), (8, 8), (9, 8), (10**30, 8)])
def test_an_explicit_number_is_limited_to_the_usable_cpus(cpus, n, count):
    assert threads.resolve(n) == count
    assert type(threads.resolve(np.int64(min(n, 99)))) is int


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "expected at least 1, got 0"),
        (-1, ValueError, "expected at least 1, got -1"),
        (True, TypeError, "expected an integer, got True"),
        (2.0, TypeError, r"expected an integer, got 2\.0"),
        ("2", TypeError, "expected an integer, got '2'"),
    ],
)
def test_bad_numbers(cpus, n, error, message):
    fcnn.set_num_threads(4)
    with pytest.raises(error, match=f"^n: {message}$"):
        fcnn.set_num_threads(n)
    assert fcnn.get_num_threads() == 4
    with pytest.raises(error, match=f"^n_threads: {message}$"):
        threads.resolve(n)


@pytest.mark.parametrize(
    ("sizes", "rows", "batch_size", "count"),
    [
        ((4, 16, 3), 10**6, 16, 1),
        ((4, 16, 3), 10**6, 10**6, 1),  # block by block: a batch's size is not what counts
        ((64, 100, 10), 60_000, 128, 1),
        ((64, 100, 10), 60_000, 256, 3),
        ((784, 128, 10), 190, 190, 1),  # 19 million multiplications: over too soon
        ((784, 128, 10), 200, 200, 8),
        ((784, 128, 10), 60_000, 8, 1),
        ((784, 128, 10), 60_000, 32, 2),
        ((784, 128, 10), 60_000, 64, 4),
        ((784, 128, 10), 60_000, 256, 8),
        # Its weights do not fit a core's cache, and go to the other one and back in each step.
        ((784, 1024, 1024, 10), 60_000, 16, 1),
        ((784, 1024, 1024, 10), 60_000, 32, 1),
        ((784, 1024, 1024, 10), 60_000, 64, 2),
        ((784, 1024, 1024, 10), 60_000, 128, 4),
    ],
)
def test_as_many_as_gain(core, sizes, rows, batch_size, count):
    class Network(core.Network):
        def _threads(self, n_threads):
            return 8 if n_threads is None else n_threads

    activations = ["relu"] * (len(sizes) - 2) + ["softmax"]
    network = Network(sizes, activations, "cross_entropy", "float32")
    lanes = core.micro_tile_shape()[2]
    panels, shares = -(-batch_size // lanes), -(-batch_size // min(lanes, 16))
    assert core.chosen_threads(network, rows, batch_size) == min(count, panels)
    chosen = core.chosen_threads(network, rows, batch_size, in_panels=True)
    assert chosen >= min(count, panels)
    if sizes[1] == 1024:  # in panels little is exchanged
        assert chosen == min(8, shares)


# --- The environment variable --------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch, cpus):
    """A function that sets FCNN_NUM_THREADS as if fcnn were new, with 6 CPUs."""
    cpus(6)

    def hold(value):
        monkeypatch.setenv("FCNN_NUM_THREADS", value)
        monkeypatch.setattr(threads, "_initial", functools.cache(INITIAL))

    return hold


@pytest.mark.parametrize(
    ("value", "count"), [("", 6), (" ", 6), ("1", 1), (" 4 ", 4), ("6", 6), ("1000", 6)]
)
def test_fcnn_num_threads(environment, value, count):
    environment(value)
    assert fcnn.get_num_threads() == count
    assert threads.resolve(None) == count
    assert threads.resolve(5) == 5


def test_set_num_threads_overrides_the_environment(environment):
    environment("2")
    fcnn.set_num_threads(3)
    assert fcnn.get_num_threads() == 3
    fcnn.set_num_threads(None)
    assert fcnn.get_num_threads() == 6


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", "expected at least 1, got 0"),
        ("-2", "expected at least 1, got -2"),
        ("two", "expected an integer, got 'two'"),
        ("1.5", "expected an integer, got '1.5'"),
    ],
)
def test_a_bad_environment_is_refused_where_it_counts(environment, value, message):
    environment(value)
    assert threads.resolve(2) == 2
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^FCNN_NUM_THREADS: {message}$"):
            threads.resolve(None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "printed"),
    [("1", "1"), ("nonsense", "FCNN_NUM_THREADS: expected an integer, got 'nonsense'")],
)
def test_a_process_is_born_with_it(value, printed):
    # It is read where it is needed first: nonsense spoils neither the import nor set_num_threads.
    code = (
        "import fcnn\n"
        "try:\n    print(fcnn.get_num_threads())\nexcept ValueError as error:\n    print(error)\n"
        "import os; os.sched_getaffinity = lambda _: set(range(6)); "
        "fcnn.threads._quota = lambda: None; fcnn.set_num_threads(3); print(fcnn.get_num_threads())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "FCNN_NUM_THREADS": value},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.stdout.splitlines() == [printed, "3"], run.stderr
