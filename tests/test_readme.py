"""The README's examples run as printed, and its commands are the ones that CI runs."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(
    r"<!-- example -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL
)


def test_there_are_examples():
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(code, tmp_path, monkeypatch, capsys):
    if "sklearn" in code:
        pytest.importorskip("sklearn")
    if "plot" in code:
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert capsys.readouterr().out or list(tmp_path.iterdir())
    if "sklearn" in code:
        return
    if "digits" in code:
        X, y = names["X"], names["y"]
        assert names["net"].evaluate(X[1500:], y[1500:])["accuracy"] > 0.92
    if "binary" in code:
        assert (names["net"].predict(names["X"]).round().ravel() == names["y"]).all()
