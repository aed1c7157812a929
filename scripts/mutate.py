"""Mutation testing of the core: which deliberate faults the tests see.

    .venv-dev/bin/python scripts/mutate.py              # after make dev; goes on where it stopped
    .venv-dev/bin/python scripts/mutate.py --sample 100 # so many, at random; --seed, 0
    .venv-dev/bin/python scripts/mutate.py --only 17    # these mutants, anew
    .venv-dev/bin/python scripts/mutate.py --report     # the table of what is known

scripts/mutants.txt lists the faults, each a small change of a text of src/fcnn. All of them go into
one copy of the sources, where the environment variable FCNN_MUTANT chooses one (0 or unset: none):

    if bound < large                becomes     if bound < (large * 2 if MUTANT == 17 else large)

so the core is compiled once, with the flags of `make dev`. With each mutant run the test files that
are likely to see it (NEAR) and those of `pytest --quick`, until one fails; with what is left, the
slow tests of the first; then all tests. What fails without the mutant as well catches nothing. A
mutant that ends the process or never comes to an end is caught, too. What is found is kept in
build/mutants/results.jsonl and holds as long as the core's sources do; what survived is tried again
when the tests have changed. The order is random: what a stopped run has reached is a sample.

The format of mutants.txt: `@ file function` says where; then each line is a mutant, its text with
the change in braces, white space as it comes. The text must be in that function (`-`: in the file)
exactly once. `{{a => b}}` changes an expression, `{{a -> b}}` a whole statement (nothing for b: it
is left out). A line that begins with `~` says of the mutant before it why no test can see it.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts" / "mutants.txt"
BUILD = Path(os.environ.get("FCNN_MUTANTS") or ROOT / "build" / "mutants")
TREE = BUILD / "tree"

# The test files that see most faults of a source file, the quickest first.
NEAR = {
    "_core.pyx": (
        "gradients",
        "parallel",
        "panels",
        "optimizers",
        "regularization",
        "trainable",
    ),
    "core/arrays.pxi": ("core_guards", "derivatives"),
    "core/c_interface.pxi": ("c_interface",),
    "core/checked.pxi": ("core_guards", "calls"),
    "core/conversion.pxi": ("arguments/predict_conversions",),
    "core/derivatives.pxi": ("derivatives", "long_vectors"),
    "core/diagnostics.pxi": ("elementary", "dispatch", "calls"),
    "core/differentiated.pxi": ("derivatives",),
    "core/dropout.pxi": ("regularization",),
    "core/exchange.pxi": ("exchange", "mpi"),
    "core/in_place.pxi": ("inputs", "gradients", "panels", "parallel", "network"),
    "core/jacobian.pxi": ("derivatives",),
    "core/lockstep.pxi": ("lockstep", "many"),
    "core/loss.pxi": ("gradients", "uncertainty"),
    "core/many.pxi": ("many", "lockstep"),
    "core/model.pxi": ("network", "calls", "uncertainty", "activation_constants"),
    "core/network.pxi": ("core_guards", "network", "calls", "regularization"),
    "core/normal_equations.pxi": ("second_order",),
    "core/norms.pxi": ("core_guards", "long_vectors", "regularization", "training", "panels"),
    "core/own.pxi": ("own_loops",),
    "core/panels.pxi": ("core_guards", "gradients", "optimizers", "parallel", "second_order"),
    "core/prediction.pxi": ("arguments/predict_conversions", "calls", "inputs"),
    "core/rows.pxi": ("gradients", "optimizers", "parallel", "panels"),
    "core/rule.pxi": ("core_guards", "training", "optimizers"),
    "core/run.pxi": ("core_guards", "regularization", "training", "parallel", "optimizers"),
    "core/second_derivatives.pxi": ("derivatives",),
    "core/second_order.pxi": ("second_order",),
    "core/shared_sum.pxi": ("core_guards", "mpi"),
    "core/shuffle.pxi": ("tiny", "training"),
    "core/signals.pxi": ("training", "tiny", "parallel"),
    "core/sobolev.pxi": ("sobolev",),
    "core/sparse.pxi": ("sparse_inputs", "core_guards"),
    "core/tiny.pxi": ("core_guards", "tiny"),
    "core/together.pxi": ("gradients", "uncertainty", "derivatives"),
    "core/trainable.pxi": ("trainable",),
    "core/weights.pxi": ("panels", "gradients"),
    "core/whole_gradient.pxi": (
        "core_guards",
        "long_vectors",
        "regularization",
        "training",
        "panels",
    ),
    "core/workspace.pxi": ("core_guards", "calls", "gradients", "panels"),
    "kernels/activations.pxd": ("gradients", "derivatives"),
    "kernels/dropout.pxd": ("regularization",),
    "kernels/elementary.pxd": ("elementary",),
    "kernels/limit.pxd": ("bench", "calls"),
    "kernels/lockstep.pxd": ("lockstep",),
    "kernels/losses.pxd": ("gradients", "training", "parallel"),
    "kernels/products.pxd": ("gradients", "panels", "parallel", "core_guards"),
    "kernels/sparse.pxd": ("sparse_inputs",),
    "kernels/tangents.pxd": ("derivatives",),
    "kernels/threads.h": ("parallel", "threads", "interrupts"),
    "kernels/tiny.pxd": ("tiny", "core_guards"),
    "kernels/updates.pxd": ("core_guards", "optimizers", "training", "c_interface"),
    "kernels/vector.pxd": ("core_guards", "gradients", "tiny"),
}
CORE = (".pyx", ".pxd", ".pxi", ".h")  # what the sources of the core end in
# In the sources' own text, or in environments of their own, there is nothing of a mutant.
NOT_OF_THE_CORE = (
    "structure", "mutants", "typing", "embedding", "documents", "lessons", "site", "learn_page",
    "project",
)  # fmt: skip
# Of a test, of the processor: many times what the longest one takes. Who takes more goes round in
# circles.
MOST_SECONDS = {"quick": 40, "near": 400, "all": 400}
# Seconds in which no thread of a test runs or waits for a processor: who does neither never will.
MOST_IDLE = 60
LOOK = 5  # seconds between two looks for that
ENDLESS = ("no end", "stands still")
# Mutants that one process runs the tests for.
MOST_AT_ONCE = 20
# Tests that have caught others, which are run before all.
MOST_FIRST = 60


class Mutant(NamedTuple):
    """One fault: in a function of a file, `old` (regular expression in `text`) becomes `new`."""

    number: int
    file: str
    function: str
    text: str  # as it stands in the list
    pattern: re.Pattern  # its group is what changes
    new: str
    is_statement: bool
    why_unseen: str  # why no test can see it, or ""

    @property
    def change(self):
        """What becomes of what."""
        old, new = re.search(r"\{\{(.*?) (?:=>|->) ?(.*?)\}\}", self.text).groups()
        return f"{old.strip()} -> {new.strip() or '(nothing)'}"


def read_list(path=LIST):
    """Return the mutants of the list, numbered from 1 on."""
    mutants, file, function = [], None, None
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@"):
            file, function = line[1:].split()
        elif line.lstrip().startswith("~"):
            why = f"{mutants[-1].why_unseen} {line.lstrip()[1:].strip()}".strip()
            mutants[-1] = mutants[-1]._replace(why_unseen=why)
        else:
            text = line.strip()
            found = re.fullmatch(r"(.*)\{\{(.*?) (=>|->) ?(.*?)\}\}(.*)", text)
            if not found:
                raise SystemExit(f"{path.name}: no change in {text!r}")
            before, old, kind, new, after = found.groups()
            pattern = "".join((_spaced(before), "(", _spaced(old), ")", _spaced(after)))
            mutants.append(Mutant(
                len(mutants) + 1, file, function, text, re.compile(pattern), new.strip(),
                kind == "->", ""))  # fmt: skip
    return mutants


def _spaced(text):
    """Return a pattern for a text with white space as it comes."""
    words = [re.escape(word) for word in text.split()]
    spaced = r"\s+".join(words)
    return r"\s*" * text[:1].isspace() + spaced + r"\s*" * (text[-1:].isspace() and bool(words))


def span_of(mutant, source):
    """Return where in a file's text the change is, (begin, end)."""
    begin, end = 0, len(source)
    if mutant.function != "-":
        head = rf"^ *(?:cdef|def|static)\b[^\n=(]*\b{mutant.function}\("
        heads = list(re.finditer(head, source, re.MULTILINE))
        if len(heads) != 1:
            raise SystemExit(f"{mutant.file}: {len(heads)} functions {mutant.function}")
        begin = heads[0].start()
        after = re.compile(r"^ *(?:cdef|def|class|static)\b[^\n]*\(", re.MULTILINE)
        # Its own variables may be declared by calls, too, but deeper.
        indent = re.match(" *", heads[0].group()).end()
        for following in after.finditer(source, heads[0].end()):
            if re.match(" *", following.group()).end() <= indent:
                end = following.start()
                break
    found = [m.span(1) for m in mutant.pattern.finditer(source, begin, end)]
    if len(found) != 1:
        raise SystemExit(
            f"mutant {mutant.number}, {mutant.file} {mutant.function}: {len(found)} times "
            f"{mutant.text!r}")  # fmt: skip
    begin, end = found[0]
    while source[begin].isspace():
        begin += 1
    while source[end - 1].isspace():
        end -= 1
    return begin, end


def mutated(source, mutants, is_c):
    """Return a file's text with all of its mutants."""
    edits = sorted(
        ((*span_of(mutant, source), mutant) for mutant in mutants),
        key=lambda edit: (edit[0], -edit[1], edit[2].number),
    )
    return _rendered(source, 0, len(source), edits, is_c)


def _rendered(source, begin, end, edits, is_c):
    """Return a part of a text with its mutants, of which one may be within another."""
    parts = []
    while edits:
        first, last, mutant = edits[0]
        within = [edit for edit in edits[1:] if edit[0] < last]
        if any(edit[1] > last for edit in within):
            raise SystemExit(f"mutant {mutant.number} overlaps another: {mutant.text}")
        parts.append(source[begin:first])
        old = _rendered(source, first, last, within, is_c)
        line = source.rfind("\n", 0, first) + 1
        if (
            mutant.is_statement
            and not is_c
            and not re.fullmatch(
                r"\s*\0 *(#.*)?", source[line:first] + "\0" + source[last:].partition("\n")[0]
            )
        ):
            raise SystemExit(f"mutant {mutant.number} is no whole statement: {mutant.text}")
        indent = " " * (first - line)
        parts.append(_chosen(mutant, old, indent, is_c))
        begin, edits = last, edits[1 + len(within) :]
    return "".join(parts) + source[begin:end]


def _chosen(mutant, old, indent, is_c):
    """Return a text with a choice of the mutant."""
    n, new = mutant.number, mutant.new
    if is_c:
        if mutant.is_statement:
            return f"if (fcnn_mutant == {n}) {{ {new} }} else {{ {old} }}"
        return f"(fcnn_mutant == {n} ? ({new}) : ({old}))"
    if mutant.is_statement:
        kept = textwrap.indent(indent + old, "    ")
        return f"if MUTANT == {n}:\n{indent}    {new or 'pass'}\n{indent}else:\n{kept}"
    return f"(({new}) if MUTANT == {n} else ({old}))"


# --- Building -----------------------------------------------------------------------------------

# Read when the module is loaded: before anything of it runs.
CHOICE = """\
#ifndef FCNN_MUTANT_H
#define FCNN_MUTANT_H
#include <stdlib.h>
/* Visible to scripts/mutate.py, which changes it in a forked process. */
__attribute__((visibility("default"))) int fcnn_mutant;
__attribute__((constructor)) static void fcnn_choose_mutant(void)
{
    const char *number = getenv("FCNN_MUTANT");
    fcnn_mutant = number ? atoi(number) : 0;
}
#endif
"""
DECLARED = """\
cdef extern from "mutant.h" nogil:
    int MUTANT "fcnn_mutant"
"""


def copy_sources(mutants):
    """Copy everything, the sources with all mutants, to build/mutants; touch only what changes.

    The tests, too, so that they may be worked on meanwhile.
    """
    texts = {"src/fcnn/kernels/mutant.h": CHOICE, "src/fcnn/kernels/mutant.pxd": DECLARED}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
        capture_output=True, check=True, text=True)  # fmt: skip
    for name in listed.stdout.split("\0")[:-1]:
        path = ROOT / name
        if not path.is_file():  # deleted, and not yet committed
            (TREE / name).unlink(missing_ok=True)
            continue
        if path.suffix not in CORE or not name.startswith("src/"):
            _write(TREE / name, path.read_bytes())
            continue
        text = path.read_text()
        here = [m for m in mutants if name == f"src/fcnn/{m.file}"]
        if here:
            text = mutated(text, here, path.suffix == ".h")
            if path.suffix in (".pxd", ".pyx"):
                text = re.sub(r"^(?=c?import |from |cimport )", "from fcnn.kernels.mutant cimport "
                              "MUTANT\n", text, count=1, flags=re.MULTILINE)  # fmt: skip
            elif path.suffix == ".h":
                text = re.sub(r"^(#define \w+_H\n)", r'\1#include "mutant.h"\n', text, count=1,
                              flags=re.MULTILINE)  # fmt: skip
        texts[name] = text
    for name, text in texts.items():
        _write(TREE / name, text.encode())


def _write(path, data):
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def build(mutants):
    """Compile the copy, and make an environment that imports it."""
    copy_sources(mutants)
    tools = Path(sysconfig.get_path("scripts"))
    packages = sysconfig.get_path("purelib")
    cmake = str(shutil.which("cmake", path=tools) or "cmake")
    configuration = [
        cmake, "-S", TREE, "-B", BUILD / "cmake", "-G", "Ninja", "--log-level=ERROR",
        f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja', path=tools) or 'ninja'}",
        f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release",
        "-DFCNN_ONLY=native", "-DFCNN_QUICK=ON",
    ]  # fmt: skip
    for command in (
        configuration,
        [cmake, "--build", BUILD / "cmake"],
        [cmake, "--install", BUILD / "cmake", "--prefix", TREE / "src"],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    # Of its own, since what `make dev` installs finds the sources before any other path.
    venv = BUILD / "venv"
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (venv / "lib" / version / "site-packages" / "mutants.pth").write_text(
        f"{TREE / 'src'}\n{packages}\n"
    )


# --- Running ------------------------------------------------------------------------------------


def quick_files():
    """Return the names of the tests that `pytest --quick` runs."""
    found = re.search(r"^QUICK = .*?^\]", (TREE / "tests" / "conftest.py").read_text(),
                      re.MULTILINE | re.DOTALL)  # fmt: skip
    return re.findall(r'"(\w+)"', found[0])


def file_of(name):
    """Return the file of tests that a name of NEAR stands for."""
    folder, _, name = name.rpartition("/")
    return str(Path("tests", folder, f"test_{name}.py"))


def tests_of(stage, files):
    """Return pytest's arguments for a stage with mutants of some files."""
    if stage == "all":
        return ["-m", "not long", *(f"--ignore=tests/test_{n}.py" for n in NOT_OF_THE_CORE)]
    names = {name for file in files for name in NEAR[file]}
    if stage == "quick":
        names.update(quick_files())
    marks = "not slow and not long" if stage == "quick" else "slow and not long"
    return ["-m", marks, *map(file_of, sorted(names))]


def of_mpi():
    """Return what finds mpiexec and its library, which are beside this Python, not the mutants'."""
    library = Path(sys.prefix, "lib", "libmpi.so.12")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, **({"MPI4PY_LIBMPI": str(library)} if library.exists() else {})}


def run_forked(mutants, stage):
    """Run the tests of a stage with some mutants; yield (number, what catches it, seconds)."""
    numbers = ",".join(str(m.number) for m in mutants)
    process = subprocess.Popen(
        [BUILD / "venv" / "bin" / "python", "scripts/mutate.py", "--forks", numbers, stage,
         "--one-build", *tests_of(stage, {m.file for m in mutants}), "-q", "--tb=no",
         "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0"],
        cwd=TREE, text=True, start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        env={**os.environ, **of_mpi(), "FCNN_MUTANT": "0", "FCNN_MUTANTS": str(BUILD.resolve()),
             "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    try:
        for line in process.stdout:
            yield json.loads(line)
        if process.wait():
            raise SystemExit(f"pytest ended with {process.returncode}")
    finally:
        process.kill()


class Forks:
    """A plugin of pytest that runs the tests once for each mutant, in a forked process.

    So Python is started, and the tests are imported, once for some mutants: what takes longer than
    to see that most of them are wrong.
    """

    def __init__(self, mutants, stage, report):
        self.mutants, self.stage, self.report = mutants, stage, report
        # What has caught others goes first, what has caught some of the same file before that.
        self.caught = collections.defaultdict(collections.Counter)
        for record in results().values():
            self.caught[record["file"]][record["caught"]] += 1

    def pytest_runtestloop(self, session):
        """Run all tests for all mutants."""
        self.place = {item.nodeid.removeprefix("tests/"): i for i, item in enumerate(session.items)}
        for mutant in self.mutants:
            begin = time.monotonic()
            order = self.order(session, mutant.file)
            caught = self.forked(mutant.number, order)
            while caught in self.place and self.forked(0, [session.items[self.place[caught]]]):
                # It fails on this machine, or now and then.
                order = [item for item in order if item is not session.items[self.place[caught]]]
                caught = self.forked(mutant.number, order)
            self.caught[mutant.file][caught] += 1
            print(json.dumps([mutant.number, caught, round(time.monotonic() - begin, 1)]),
                  file=self.report, flush=True)  # fmt: skip
        return True

    def order(self, session, file):
        """Return the tests in the order in which they run for a mutant of a file."""
        others = sum((found for name, found in self.caught.items() if name != file),
                     collections.Counter())  # fmt: skip
        ranked = [name for found in (self.caught[file], others) for name, _ in found.most_common()]
        first = {name: None for name in ranked if name in self.place}
        first = [self.place[name] for name in [*first][:MOST_FIRST]]
        near, quick = (tuple(map(file_of, names)) for names in (NEAR[file], quick_files()))
        ids = {i: item.nodeid for i, item in enumerate(session.items) if i not in first}
        if self.stage != "all":  # the others' near files are here, too
            ids = {i: name for i, name in ids.items() if name.startswith(near + quick)}
        left = sorted(ids, key=lambda i: not ids[i].startswith(near))
        # By files, whose fixtures are made once.
        return [session.items[i] for i in [*sorted(first), *left]]

    def forked(self, number, items):
        """Return what fails first of some tests with a mutant, or how they end; None if well."""
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.setsid()
            self.run(number, items, writing)
        os.close(writing)
        caught = wait_for(process)
        with os.fdopen(reading) as file:
            return file.read() or caught

    def run(self, number, items, writing):
        """Run the tests until one fails; never return."""
        import ctypes
        import resource

        os.environ["FCNN_MUTANT"] = str(number)  # of processes that a test starts
        for name, module in list(sys.modules.items()):
            if name.startswith("fcnn._core") and module.__file__:
                ctypes.c_int.in_dll(ctypes.CDLL(module.__file__), "fcnn_mutant").value = number
        self.writing = writing
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        for item, following in zip(items, [*items[1:], None], strict=True):
            until = int(time.process_time()) + MOST_SECONDS[self.stage]
            resource.setrlimit(resource.RLIMIT_CPU, (until, hard))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        os._exit(0)

    def pytest_runtest_logreport(self, report):
        """End the process with the first failure."""
        if report.failed:
            os.write(self.writing, report.nodeid.removeprefix("tests/").encode())
            os._exit(1)


def wait_for(process):
    """Return None if a process ended well, or how it ended otherwise."""
    looks, pace, idle = 0, 0.0, 0
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
        # Counted in naps of this process, since both may be stopped for a while.
        looks += 1
        if looks % round(LOOK / 0.02):
            continue
        before, pace = pace, pace_of(process)
        idle = 0 if abs(pace - before) > LOOK / 100 else idle + LOOK
        if idle >= MOST_IDLE:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return "stands still"
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return "no end"
    return signal.Signals(-code).name if code < 0 else f"ended with {code}" if code else None


def pace_of(session):
    """Return the seconds that a session's threads have run, or waited for a processor."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                for task in (path / "task").iterdir():
                    total += sum(map(int, (task / "schedstat").read_text().split()[:2]))
        except OSError:  # it has ended
            continue
    return total / 1e9


def run_forks(numbers, stage, arguments):
    """Run pytest with that plugin."""
    import pytest

    report = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    listed = read_list()
    mutants = [listed[int(number) - 1] for number in numbers.split(",")]
    return pytest.main(arguments, plugins=[Forks(mutants, stage, report)])


def digest(paths):
    """Return a hash of some files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def key_of(mutant, sources):
    """Return what a result is of: the mutant, and the sources it was made in."""
    return hashlib.sha256(f"{sources}{mutant.file}{mutant.function}{mutant.text}".encode()
                          ).hexdigest()[:16]  # fmt: skip


def results():
    """Return all results that there are, by their keys."""
    path = BUILD / "results.jsonl"
    records = map(json.loads, path.read_text().splitlines() if path.exists() else ())
    return {record["key"]: record for record in records}


def known(mutants, sources):
    """Return the results of these sources, by the mutants' numbers."""
    kept = results()
    found = {m.number: kept.get(key_of(m, sources)) for m in mutants}
    return {number: record for number, record in found.items() if record is not None}


def is_open(record, stage, tests):
    """Whether a stage has something to say of a mutant."""
    order = list(MOST_SECONDS)
    return record is None or (not record["caught"] and (
        record["tests"] != tests or order.index(record["stage"]) < order.index(stage)))  # fmt: skip


def report(mutants, found):
    """Print the table and the count; return the mutants that survived without a reason."""
    print(f"{'':>4} {'where':<42} {'change':<52} {'s':>6}  caught by")
    survivors, explained, open_ = [], 0, 0
    for mutant in mutants:
        result = found.get(mutant.number)
        if result is None and mutant.why_unseen:
            by, seconds, explained = f"nothing can: {mutant.why_unseen}", "", explained + 1
        elif result is None:
            by, seconds, open_ = "not run", "", open_ + 1
        else:
            seconds = result["seconds"]
            by = result["caught"] or "NOTHING"
            if not result["caught"]:
                survivors.append(mutant)
        print(f"{mutant.number:>4} {mutant.file + ' ' + mutant.function:<42} "
              f"{mutant.change[:52]:<52} {seconds:>6}  {by}")  # fmt: skip
    caught = len(mutants) - len(survivors) - explained - open_
    if caught + len(survivors):
        share = 100 * caught / (caught + len(survivors))
        records = [found[m.number] for m in mutants if m.number in found]
        endless = sum(record["caught"] in ENDLESS for record in records)
        quick = sum(bool(record["caught"]) and record["stage"] == "quick" for record in records)
        left = sum(not record["caught"] and record["stage"] == "quick" for record in records)
        print(f"{caught} of {caught + len(survivors)} caught ({share:.1f} %), {quick} of them in "
              f"the quick stage, {endless} as they never end; {left} of the others not run on; "
              f"{explained} that no test can see, {open_} not run")  # fmt: skip
    return survivors


def main():
    """Build, run what is not known, print the table."""
    if sys.argv[1:2] == ["--forks"]:
        return run_forks(sys.argv[2], sys.argv[3], sys.argv[4:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="these, run anew")
    parser.add_argument("--sample", type=int, metavar="N", help="so many, at random")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--stage", choices=MOST_SECONDS, default="all", help="the last that is run")
    parser.add_argument("--report", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    mutants = read_list()
    chosen = [m for m in mutants if not arguments.only or m.number in arguments.only]
    random.Random(arguments.seed).shuffle(chosen)
    chosen = chosen[: arguments.sample]
    # Python's files count as tests do: what caught a mutant does so behind another front, too.
    sources = digest(p for p in (ROOT / "src").rglob("*") if p.suffix in CORE)
    tests = digest(p for folder in ("src", "tests") for p in (ROOT / folder).rglob("*.py"))
    found = {} if arguments.only else known(mutants, sources)
    if not arguments.report:
        build(mutants)
        for stage in [*MOST_SECONDS][: [*MOST_SECONDS].index(arguments.stage) + 1]:
            to_do = [m for m in chosen if is_open(found.get(m.number), stage, tests)
                     and (arguments.only or not m.why_unseen)]  # fmt: skip

            # What is known, and asked once more as the tests have changed, comes behind.
            to_do.sort(key=lambda m: m.number in found)

            def run_some(begin, to_do=to_do, stage=stage):
                some = {m.number: m for m in to_do[begin : begin + MOST_AT_ONCE]}
                for number, caught, seconds in run_forked(some.values(), stage):
                    mutant = some[number]
                    found[number] = record = {
                        "key": key_of(mutant, sources), "tests": tests, "file": mutant.file,
                        "caught": caught, "stage": stage, "seconds": seconds,
                    }  # fmt: skip
                    with (BUILD / "results.jsonl").open("a") as file:
                        file.write(json.dumps(record) + "\n")
                    print(f"{number}: {caught or 'SURVIVES'}", flush=True)

            with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
                list(pool.map(run_some, range(0, len(to_do), MOST_AT_ONCE)))
    chosen.sort()
    survivors = report(chosen, found)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
