#!/usr/bin/env python3
"""Counts the FMAs and the stack traffic in the inner loops of the compiled core.

    python .ci/check_kernels.py                   the installed package's fcnn/_core*.so
    python .ci/check_kernels.py PATH...           modules or object files, or directories of them

Nothing warns of a kernel whose sums live in memory or that was never vectorized: it computes the
right numbers ten times slower. So this reads the machine code, with objdump (for another machine's
files: aarch64-linux-gnu-objdump and the like, or llvm-objdump), and exits with 1 if a module's
float32 or float64 code

- has fewer than KERNELS matrix kernels: inner loops with the FMAs of a tile (TILES), or a multiple
  where the compiler unrolled, at the build's full vector width, with entries of A and no store;
- has a loop of so many FMAs or more, with entries of A and an FMA in at least every fifth
  instruction, whose sums are in memory: all vectors it writes, it writes to the stack, or it writes
  one for every two FMAs. (Updates and activations store results, too, and have less to multiply.)
- has no more FMAs of full width in its inner loops than scalar ones.

Each line of the table is a kind of inner loop and how often the module has it: those with the most
FMAs, the kernels, and what is wrong:

    float32    8 x  16 FMA of 512 bits in  31,   2 +  8 loads,   0 stores, stack  0 +  0  0x16878

"in 31" instructions; "2 + 8 loads" are 2 of vectors and 8 of one number (an entry of A, spread over
a vector); "stack 0 + 0" are vectors written to the stack and read there, which count among stores
and loads too; the address is the first such loop's. v2 has no FMA instruction: there a
multiplication and an addition count as one.
"""

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

ISA_H = Path(__file__).parent.parent / "src" / "fcnn" / "kernels" / "isa.h"
ROW = re.compile(r"ISA\((\w+), (\w+), \d, (\d+), (\w+), (\d),")


def tiles():
    """Return rows, vectors of a row and bits of a vector of each build's tile, and the modules.

    They are those of kernels/isa.h; of v2 the rows depend on the compiler.
    """
    text = ISA_H.read_text()
    of_names = {
        name: tuple(int(rows) for rows in re.findall(rf"#define {name} (\d)", text))
        for name in re.findall(r"#define (\w+_MR) \d", text)
    }
    shapes, modules = {}, {}
    for isa, module, octets, rows, vectors in ROW.findall(text):
        shapes[isa] = of_names.get(rows) or (int(rows),), int(vectors), 8 * int(octets)
        modules.setdefault(module, isa)
    return shapes, modules


TILES, MODULES = tiles()
KERNELS = 3  # of each dtype: one for each of the three passes
SHOWN = 2  # kinds of loops in the table, beside kernels and what is wrong

MACHINES = {62: "x86_64", 183: "aarch64"}  # e_machine of the ELF header
DTYPES = {"s": "float32", "d": "float64"}

LINE = re.compile(r"\s*([0-9a-f]+):\s+(?:(?:bnd|notrack)\s+)?([a-z]\S*)\s*(.*)")
COMMENT = re.compile(r"\s+(?:#\s|//|<).*")
JUMP = re.compile(r"j[a-z]+|b|b\.[a-z]+|cbn?z|tbn?z")
LEAVES = re.compile(r"jmp[ql]?|ret[ql]?|br?")  # and never goes on to the next one
TARGET = re.compile(r"(?:^|[\s,])(?:0x)?([0-9a-f]+)$")
# rbp and x29 point to the stack where they were last set from its pointer; elsewhere they are plain
# registers. Their restoring in one of a function's epilogues says nothing about the code behind it.
FRAME_SET = re.compile(r"(mov %rsp|lea \S*\(%rsp\)),%rbp|(mov|add) x29, sp.*")
FRAME_LOST = re.compile(r"(?!pop|push|cmp|test)\w+ (.*,)?%[er]bp|(?!cmp|cb|tb|st|ldp)\w+ x29,.*")
X86_ARITHMETIC = re.compile(r"v(fn?m)(?:add|sub)\d+([ps])([sd])|v?(mul|add|sub)([ps])([sd])")
X86_MEMORY = re.compile(r"[^\s,(]*\((%\w+)?[^)]*\)")
X86_ONE_NUMBER = re.compile(r"\S*(broadcast|s[sd] |ddup |mov[dq] )|.*\{1to")
ARM_ARITHMETIC = re.compile(r"fml[as] v\d+\.([24])([sd])|fn?m(?:add|sub) ([sd])")
ARM_MEMORY = re.compile(r"((ld|st)\w+) (.*), ?\[(\w+)")


def x86(instruction, stack):
    """Yield what an instruction counts as; arithmetic with its dtype and bits, 0 for a scalar."""
    name, _, operands = instruction.partition(" ")
    registers = re.findall(r"%([xyz])mm", operands)
    if not registers:
        return
    if match := X86_ARITHMETIC.fullmatch(name):
        fma, fma_lanes, fma_dtype, other, lanes, dtype = match.groups()
        bits = {"x": 128, "y": 256, "z": 512}[max(registers)]
        kind = "fma" if fma else "mul" if other == "mul" else "add"
        yield kind, DTYPES[fma_dtype or dtype], bits if (fma_lanes or lanes) == "p" else 0
    if memory := X86_MEMORY.search(operands):
        # AT&T syntax: the last operand is the one written.
        written = "," not in operands[memory.end() :]
        if not X86_ONE_NUMBER.match(instruction):
            yield "store" if written else "load"
            if memory[1] in stack:
                yield "spill" if written else "reload"
        elif not written and memory[1] != "%rip":  # a constant: an entry of A has no fixed address
            yield "number"


def arm(instruction, stack):
    """Do the same for AArch64."""
    if match := ARM_ARITHMETIC.match(instruction):
        lanes, dtype = int(match[1] or 0), match[2] or match[3]
        yield "fma", DTYPES[dtype], lanes * {"s": 32, "d": 64}[dtype]
    if match := ARM_MEMORY.match(instruction):
        name, direction, registers, base = match.groups()
        written = direction == "st"
        if name == "ld1r" or (not written and re.match(r"[sd]\d", registers)):
            yield "number"
            return
        for _ in re.findall(r"\bq\d|\bv\d", registers):
            yield "store" if written else "load"
            if base in stack:
                yield "spill" if written else "reload"


def regions(path, machine):
    """Yield what lies between two symbols: functions, or in a stripped file all of them together.

    Each is a list of (address, instruction, registers that point to the stack).
    """
    tools = ["objdump"] if platform.machine() == machine else []
    tools += [f"{machine}-linux-gnu-objdump", "llvm-objdump"]
    tool = next(filter(shutil.which, tools), None)
    if tool is None:
        sys.exit(f"{path}: needs {' or '.join(tools)}")
    command = [tool, "-d", "--no-show-raw-insn", path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    region, stack = [], {"%rsp", "sp"}
    for line in text.splitlines():
        if match := LINE.match(line):
            instruction = f"{match[2]} {COMMENT.sub('', match[3]).strip()}"
            if FRAME_SET.fullmatch(instruction):
                stack = {"%rsp", "sp", "%rbp", "x29"}
            elif FRAME_LOST.fullmatch(instruction):
                stack = {"%rsp", "sp"}
            region.append((int(match[1], 16), instruction, stack))
        elif line.endswith(":"):  # a symbol or a section
            yield region
            region, stack = [], {"%rsp", "sp"}
    yield region


def reaches(region, targets, start, end):
    """Whether the instructions from `start` on lead to the one at `end`, all of them in between."""
    seen, waiting = set(), [start]
    while waiting:
        at = waiting.pop()
        if at == end:
            return True
        if not start <= at < end or at in seen:
            continue
        seen.add(at)
        name = region[at][1].partition(" ")[0]
        if at in targets:
            waiting.append(targets[at])
        if not LEAVES.fullmatch(name):
            waiting.append(at + 1)
    return False


def inner_loops(region):
    """Yield what backward jumps span, where no other backward jump's span lies inside.

    A jump back that its own target does not lead to closes no loop: compilers put what is rarely
    done behind the function's end, and jump from there.
    """
    index = {address: i for i, (address, _, _) in enumerate(region)}
    targets = {}
    for i, (_, instruction, _) in enumerate(region):
        name, _, operands = instruction.partition(" ")
        if JUMP.fullmatch(name) and (target := TARGET.search(operands)):
            targets[i] = index.get(int(target[1], 16), len(region))
    spans = [
        (start, end)
        for end, start in targets.items()
        if start <= end and reaches(region, targets, start, end)
    ]
    first_end = len(region)  # of the spans that start here or later
    for start, end in sorted(spans, key=lambda span: (-span[0], span[1])):
        if end < first_end:
            yield region[start : end + 1]
            first_end = end


def read(path):
    """Return a file's build and its inner loops: the address, and a Counter of what it does."""
    header = path.read_bytes()[:20]
    machine = MACHINES.get(int.from_bytes(header[18:20], "little"))
    if not header.startswith(b"\x7fELF") or machine is None:
        sys.exit(f"{path}: not an ELF file for {' or '.join(MACHINES.values())}")
    build = "neon" if machine == "aarch64" else MODULES[path.name.partition(".")[0]]
    counted = arm if machine == "aarch64" else x86
    loops = []
    for region in regions(path, machine):
        for loop in inner_loops(region):
            counts = Counter(what for line in loop for what in counted(*line[1:]))
            counts["all"] = len(loop)
            if build == "v2":
                for _, *rest in [what for what in counts if what[0] == "mul"]:
                    counts["fma", *rest] = min(counts["mul", *rest], counts["add", *rest])
            loops.append((loop[0][0], counts))
    return build, loops


def check(loops, dtype, rows, vectors, bits):
    """Print the table of a module's dtype; return how many things are wrong with it."""
    kinds = defaultdict(list)
    kernels = full_width = scalar = 0
    for address, counts in loops:
        packed = {b: counts["fma", dtype, b] for b in (64, 128, 256, 512)}
        full_width += packed[bits]
        scalar += counts["fma", dtype, 0]
        n, widest = sum(packed.values()), max((b for b in packed if packed[b]), default=0)
        spill, reload, store = counts["spill"], counts["reload"], counts["store"]
        load, number = counts["load"], counts["number"]
        kernel = in_memory = False
        whole = packed[bits] >= min(rows) * vectors and 5 * n >= counts["all"]
        if whole and 0 < number <= n // vectors:
            in_memory = 0 < spill == store or 2 * store >= n
            # A tile of fewer rows, unrolled, has as many FMAs, but loads more of B for them; a
            # single row has fewer entries of A.
            kernel = store == 0 and any(
                n % (r * vectors) == 0 and number > r // 2 and load * r < 2 * n for r in rows
            )
        kernels += kernel
        verdict = "WRONG: sums in memory" if in_memory else "kernel" if kernel else ""
        if n:
            kind = n, widest, counts["all"], load, number, store, spill, reload, verdict
            kinds[kind].append(address)
    for i, kind in enumerate(sorted(kinds, reverse=True)):
        n, widest, instructions, load, number, store, spill, reload, verdict = kind
        if i < SHOWN or verdict:
            print(
                f"  {dtype} {len(kinds[kind]):4} x {n:3} FMA of {widest} bits in {instructions:3}, "
                f"{load:3} +{number:3} loads, {store:3} stores, stack {spill:2} +{reload:3}"
                f"  {min(kinds[kind]):#x}  {verdict}"
            )
    print(f"  {dtype} in all: {kernels} kernels; {full_width} FMA of {bits} bits, {scalar} scalar")
    wrong = sum(len(addresses) for kind, addresses in kinds.items() if kind[-1].startswith("WRONG"))
    if kernels < KERNELS:
        print(f"  {dtype} WRONG: {kernels} kernels, expected {KERNELS}")
        wrong += 1
    if full_width <= scalar:
        print(f"  {dtype} WRONG: no more FMA of {bits} bits than scalar ones")
        wrong += 1
    return wrong


def main():
    """Check every file named, or the installed package's."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    if not paths and (package := importlib.util.find_spec("fcnn")):
        paths = [Path(folder) for folder in package.submodule_search_locations]
    files = []
    for path in paths:
        if path.is_dir():
            files += [f for f in sorted(path.rglob("_core*")) if f.suffix in {".so", ".o"}]
        else:
            files.append(path)
    if not files:
        sys.exit("no _core*.so found: install the package or name files")
    wrong = 0
    for path in files:
        build, loops = read(path)
        rows, vectors, bits = TILES[build]
        tile = f"{' or '.join(map(str, rows))} x {vectors} vectors of {bits} bits"
        print(f"{path.name} ({build}: tile of {tile})")
        wrong += sum(check(loops, dtype, *TILES[build]) for dtype in DTYPES.values())
    print(f"{wrong} wrong" if wrong else "all well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
