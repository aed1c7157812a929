"""The machine code of what to_c writes: vector instructions alone, on x86-64 and on aarch64."""

import re
import shutil

import pytest
from conftest import HIDDEN, PAIRS, slow_but
from generated_c import COMPILERS, find, run

import fcnn
from fcnn import convert

ARITHMETIC = "add|sub|mul|div|max|min"
# What takes whole registers, and what takes a single number, of AVX2 and of NEON.
PACKED = {
    "x86-64": rf"\tvf?n?m?({ARITHMETIC})\w*p[sd]\t",
    "aarch64": rf"\tf({ARITHMETIC}|ml[as])\tv\d+\.(4s|2d)",
}
SINGLE = {
    "x86-64": rf"\tv?f?n?m?({ARITHMETIC})\w*s[sd]\t",
    "aarch64": rf"\tfn?m?({ARITHMETIC})\t[sd]\d+",
}


def command(compiler, machine):
    """Return a compiler for a machine, or None."""
    if machine == "x86-64":
        found = find(compiler)
        return found and [
            found, *(["--target=x86_64-linux-gnu"] if compiler == "clang" else []),
            "-march=x86-64-v3",
        ]  # fmt: skip
    if compiler == "clang":
        found = find(compiler)
        return found and [found, "--target=aarch64-linux-gnu"]
    found = shutil.which("aarch64-linux-gnu-gcc")
    return found and [found]


def assembly(compiler, machine, folder, text):
    if (words := command(compiler, machine)) is None:
        pytest.skip(f"no {compiler} for {machine} on this machine")
    if machine == "x86-64" and compiler == "gcc" and "x86" not in run([*words[:1], "-v"], folder):
        version = run([words[0], "-dumpmachine"], folder)
        if "x86_64" not in version:
            pytest.skip(f"gcc is one for {version.strip()}")
    (folder / "net.c").write_text(text)
    # Freestanding: no headers of the other machine's library are needed.
    run([*words, "-O3", "-ffreestanding", "-S", "net.c", "-o", "net.s"], folder)
    return (folder / "net.s").read_text()


def singles(text, machine):
    """Return the lines with arithmetic of single numbers."""
    return [line for line in text.splitlines() if re.search(SINGLE[machine], line)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", slow_but(["float32"], ["float32", "float64"]))
@pytest.mark.parametrize("machine", list(PACKED))
@pytest.mark.parametrize("compiler", list(COMPILERS))
def test_every_loop_is_of_vectors(compiler, machine, dtype, tmp_path):
    """Without a flag but -O3: of GCC that means in spite of -ftrapping-math."""
    outputs = {output: loss for loss, output in reversed(PAIRS)}
    for name in HIDDEN:
        net = fcnn.Network((24, 16, 8), name, "identity", "squared_error", dtype)
        text = assembly(compiler, machine, tmp_path, convert.to_c(net, "net"))
        assert len(re.findall(PACKED[machine], text)) >= 16, name
        assert not singles(text, machine), (name, singles(text, machine))
    for name in ("exp", "ascending", "softmax"):
        loss = "quantile(0.25, 0.75)" if name == "ascending" else outputs[name]
        net = fcnn.Network((24, 8), output_activation=name, loss=loss, dtype=dtype)
        text = assembly(compiler, machine, tmp_path, convert.to_c(net, "net"))
        # The largest of the outputs and their sum are single numbers, and the inverse of that.
        most = {"exp": 0, "ascending": 16, "softmax": 26}[name]
        assert len(singles(text, machine)) <= most, (name, singles(text, machine))


@pytest.mark.parametrize("compiler", list(COMPILERS))
@pytest.mark.parametrize("output", ["identity", "tanh", "sigmoid"])
def test_few_outputs_are_of_vectors_too(compiler, output, tmp_path):
    """Half a register of them: as one expression, or inlined before its activation, of none."""
    net = fcnn.Network((4, 16, 3), "relu", output, "squared_error")
    text = assembly(compiler, "x86-64", tmp_path, convert.to_c(net, "net"))
    assert len(re.findall(PACKED["x86-64"], text)) >= 20
    assert not singles(text, "x86-64")


@pytest.mark.parametrize("machine", list(PACKED))
def test_a_choice_by_a_branch_is_found(machine, tmp_path):
    """What the masks are for: GCC leaves such a loop as it is."""
    net = fcnn.Network((24, 16, 8), "tanh", "identity", "squared_error")
    text = re.sub(
        r"const uint32_t mask[^}]*}", "return condition ? a : b;\n}", convert.to_c(net, "net")
    )
    assert "condition ? a : b" in text
    assert singles(assembly("gcc", machine, tmp_path, text), machine)
