"""Write the table of docs/convert.md that says what is right and what is refused.

python -m makers.matrix            # in tests/, with the extras `makers` and `sklearn`: runs all
python -m makers.matrix --no-run   # takes what the cases expect, which test_makers.py checks
"""

import importlib.metadata
import sys
from itertools import groupby
from pathlib import Path

from makers import cases

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "convert.md"
BEGIN, END = "<!-- begin: tests/makers/matrix.py -->\n", "<!-- end -->\n"
# Packages by what a maker is called.
VERSIONS = {"Keras": "keras", "skl2onnx": "skl2onnx", "ONNX Runtime": "onnxruntime",
            "onnx.helper": "onnx", "torch.onnx, dynamo": "torch",
            "torch.onnx, script": "torch"}  # fmt: skip


def rows():
    """Return maker, forms that are right, and forms that are refused with what the message says."""
    made = []
    for maker, of_maker in groupby(sorted(cases.CASES, key=order), key=lambda case: case.maker):
        listed = list(of_maker)
        right = [case.form + (" (out)" if case.direction == "out" else "") for case in listed
                 if not case.refused]  # fmt: skip
        made.append((maker, right, [case.form for case in listed if case.refused]))
    return made


def order(case):
    return list(cases.MAKERS).index(case.maker)


def version(maker):
    name = VERSIONS[maker]
    return f"{name} {importlib.metadata.version(name).partition('+')[0]}"


def table(versions):
    """Return the lines of the table; `versions` tells what a maker was tried with."""
    lines = ["| maker | right, to 1e-6 | refused, by name | tried with |", "|---|---|---|---|"]
    for maker, right, refused in rows():
        told = "; ".join(refused) or "-"
        lines.append(f"| {maker} | {'; '.join(right)} | {told} | {versions(maker)} |")
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
