"""Write the table of docs/convert.md that says what is right and what is refused.

python -m makers.matrix            # in tests/, with the extras `makers` and `sklearn`: runs all
python -m makers.matrix --no-run   # takes what the cases expect, which test_makers.py checks
"""

import importlib.metadata
import subprocess
import sys
from itertools import groupby
from pathlib import Path

from makers import cases, out  # noqa: F401 (out adds its cases)

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "convert.md"
BEGIN, END = "<!-- begin: tests/makers/matrix.py -->\n", "<!-- end -->\n"
# Packages by what a maker is called.
VERSIONS = {"scikit-learn": "scikit-learn", "skops": "skops", "PyTorch": "torch", "Keras": "keras",
           "skl2onnx": "skl2onnx", "ONNX Runtime": "onnxruntime",
            "onnx.helper": "onnx", "torch.onnx, dynamo": "torch",
            "torch.onnx, script": "torch"}  # fmt: skip


def rows():
    """Return direction, maker, forms that are right, and forms that are refused."""
    made = []
    ordered = sorted(cases.CASES, key=order)
    for (direction, maker), found in groupby(ordered, key=lambda c: (c.direction, c.maker)):
        listed = list(found)
        right = [case.form for case in listed if not case.refused]
        made.append((direction, maker, right, [case.form for case in listed if case.refused]))
    return made


def order(case):
    return case.direction, list(cases.MAKERS).index(case.maker)


def version(maker):
    if maker == "C":
        told = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
        return f"cc {told.stdout.splitlines()[0].split()[-1]}"
    name = VERSIONS[maker]
    return f"{name} {importlib.metadata.version(name).partition('+')[0]}"


def table(versions):
    """Return the lines of the table; `versions` tells what a maker was tried with."""
    lines = [
        "| | maker | right, to 1e-6 | refused, by name | tried with |",
        "|---|---|---|---|---|",
    ]
    before = None
    for direction, maker, right, refused in rows():
        shown = {"in": "from", "out": "to"}[direction] if direction != before else ""
        told, before = "; ".join(refused) or "-", direction
        lines.append(f"| {shown} | {maker} | {'; '.join(right)} | {told} | {versions(maker)} |")
    return lines


def written():
    """Return the lines of the table in the document."""
    text = DOCUMENT.read_text("utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip().splitlines()


def main():
    if "--no-run" not in sys.argv[1:]:
        for case in cases.CASES:
            found = case.message() if case.refused else f"{case.worst():.1e}"
            print(f"{case.name}: {found}", flush=True)
            assert case.refused or float(found) <= cases.TOLERANCE, case.name
    text = DOCUMENT.read_text("utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    lines = "\n".join(table(version))
    DOCUMENT.write_text(f"{text[:begin]}\n{lines}\n\n{text[end:]}", "utf-8")


if __name__ == "__main__":
    main()
