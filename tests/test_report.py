"""Reports: their numbers, their page as a parser reads it, and as a browser shows it."""

import json
import re
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import Chromium

import fcnn
from fcnn.history import History, TrainingRecord
from fcnn.tables import Preparation, Target, as_table, infer_columns, read_target

pytest.importorskip("matplotlib")
from fcnn.report import Report, permutation_importance, write_report

NASTY = "<script>alert(1)</script>"
needs_browser = pytest.mark.skipif(Chromium.path() is None, reason=str(Chromium.missing()))


def model_of(data, targets):
    """Return a model whose network is as it was made: some answers are right, others are not."""
    table = as_table(data)
    found = read_target(table, targets)
    preparation = Preparation.fit(table, infer_columns(table, targets))
    target = found.target if found.target.is_classes else found.target.scaled(found.y)
    n_out, loss = (
        (len(target.classes), "cross_entropy")
        if target.is_classes
        else (len(targets), "squared_error")
    )
    network = fcnn.Network((preparation.width, 8, n_out), loss=loss, rng=4)
    history = History([0.9, 0.5, 0.3], [0.8, 0.6, 0.5], [0.5, 0.7, 0.9], "accuracy", [1.0] * 3,
                      [0.1, 0.05, 0.01])  # fmt: skip
    record = TrainingRecord(history, "fcnn train a.csv", "a.csv", "2026-01-02", {"training": 3})
    model = fcnn.Model(network, preparation, target, record)
    network.fit(model.prepare(table), model.scaled(found.y), epochs=6, batch_size=16,
                optimizer=fcnn.Adam(lr=0.01))  # fmt: skip
    return model


def flowers(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=rows)
    a = np.where(rng.random(rows) < 0.1, np.nan, label * 900 + rng.normal(0, 500, rows))
    return {
        "a": a, NASTY: rng.normal(size=rows) + (label == 1),
        "color": np.where(label == 2, "blue", rng.choice(["red", "gr & een"], rows)),
        "kind": np.array(["a < b", "round", "small"])[label],
    }  # fmt: skip


def houses(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    size, rooms = rng.uniform(40, 160, rows), rng.integers(1, 7, rows)
    return {
        "size": size, "rooms": rooms, "price": 1.7e9 + 20 * size + 500 * rooms,
        "noise": rng.normal(size=rows),
    }  # fmt: skip


def many(rows=600, seed=0):
    """30 classes with long names, 60 columns with longer ones; one class has no row later."""
    rng = np.random.default_rng(seed)
    label = np.arange(rows) % 30
    columns = {
        f"measurement of a quantity with a name that is long, number {j}": rng.normal(size=rows)
        + 3 * (label == j % 30)
        for j in range(60)
    }
    names = np.array([f"a name of a class that is long, 漢字漢字, $x_{k}$, {k}" for k in range(30)])
    return {**columns, "kind": names[label]}


CASES = {
    "classes": (flowers, ["kind"]), "numbers": (houses, ["price", "noise"]),
    "many": (many, ["kind"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """For each case the model, new data, the report and its page."""
    folder = tmp_path_factory.mktemp("reports")
    result = {}
    for name, (make, targets) in CASES.items():
        model, data = model_of(make(), targets), make(seed=1)
        if name == "many":
            keep = np.arange(600) % 30 != 7
            data = {key: column[keep] for key, column in data.items()}
        path = folder / f"{name}.html"
        report = write_report(
            model, data, path, source="new.csv", command="fcnn report m new.csv",
            model_name="m.safetensors",
        )  # fmt: skip
        result[name] = model, data, report, path
    return result


# --- Numbers -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("case", ["classes", "numbers"])
def test_importance_by_hand(case, made):
    """Of the raw table's columns, changed one by one; a category and its indicators together."""
    model, data, report, _ = made[case]
    score = {"classes": "balanced_accuracy", "numbers": "r2"}[case]
    rng = np.random.default_rng(0)
    names = [name for name in data if name not in model.targets]
    whole = model.evaluate(data)[score]
    expected = np.empty((len(names), 5))
    for j, name in enumerate(names):
        for k in range(5):
            changed = {**data, name: data[name][rng.permutation(300)]}
            expected[j, k] = whole - model.evaluate(changed)[score]
    found = permutation_importance(model, data)
    assert (found.names, found.score, found.rows) == (tuple(names), score, 300)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.values, report.importance.values)
    np.testing.assert_allclose(found.mean, expected.mean(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.deviation, expected.std(axis=1), rtol=1e-9, atol=1e-12)
    assert expected.max() > 0.1
    fewer = permutation_importance(model, data, max_rows=40, repeats=2, rng=3)
    assert (fewer.rows, fewer.values.shape) == (40, (len(names), 2))


def test_what_is_no_generator_is_refused_by_name():
    data = flowers()
    with pytest.raises(TypeError, match=r"^rng: expected a non-negative integer"):
        permutation_importance(model_of(data, ["kind"]), data, rng="a")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*far beyond the numbers of training:UserWarning")
def test_scores_are_those_of_evaluate(made):
    for model, data, report, _ in made.values():
        assert json.dumps(report.scores.to_dict()) == json.dumps(model.evaluate(data))
    model, data, _, _ = made["classes"]
    inputs = {name: column for name, column in data.items() if name != "kind"}
    apart = Report.of(model, inputs, data["kind"], repeats=1)
    assert apart.scores.to_dict() == model.evaluate(data)
    assert apart.missing == (int(np.isnan(data["a"]).sum()), 0, 0)


def test_rows_without_a_target_are_left_out_and_said():
    data = flowers()
    model = model_of(data, ["kind"])
    data["kind"] = data["kind"].astype(object)
    data["kind"][:7] = ""
    report = Report.of(model, data, repeats=1)
    assert report.scores.rows == 293
    assert "7 rows without a target left out" in report.notes
    data["kind"][:] = None
    with pytest.raises(ValueError, match="no row has a target, 'kind'"):
        Report.of(model, data)
    del data["kind"]
    with pytest.raises(ValueError, match="no column 'kind'"):
        Report.of(model, data)
    with pytest.raises(TypeError, match="a network alone does not know"):
        Report.of(model.network, data)


def test_a_record_of_the_training_comes_back(made, tmp_path):
    model = made["classes"][0]
    model.save(tmp_path / "m.safetensors")
    assert fcnn.load(tmp_path / "m.safetensors").training == model.training
    plain = fcnn.Model(model.network, model.preparation, model.target)
    plain.save(tmp_path / "m.safetensors")
    assert fcnn.load(tmp_path / "m.safetensors").training is None
    with pytest.raises(TypeError, match="training: expected a TrainingRecord, got dict"):
        fcnn.Model(model.network, model.preparation, model.target, {})
    wrong = model.training.to_json()
    wrong["history"]["loss"] = ["x"]
    with pytest.raises(ValueError, match="'loss'"):
        TrainingRecord.from_json(wrong)


# --- The page, as a parser reads it --------------------------------------------------------------


class Page(HTMLParser):
    """Tags, attributes, and the tables as texts, by their ids."""

    def __init__(self, path):
        super().__init__()
        self.starts, self.tables, self.row, self.cell = [], {}, None, None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.starts.append((tag, attrs))
        if tag == "table":
            self.rows = self.tables.setdefault(attrs["id"], [])
        elif tag == "tr":
            self.row = []
            self.rows.append(self.row)
        elif tag in ("th", "td"):
            self.cell = True
            self.row.append("")

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.cell = None

    def handle_data(self, data):
        if self.cell:
            self.row[-1] += data


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_page_is_by_itself_and_escaped(case, made):
    page = Page(made[case][3])
    tags = {tag for tag, _ in page.starts}
    assert not tags & {"script", "link", "iframe", "img", "b"}
    ids = [attrs["id"] for _, attrs in page.starts if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.starts:
        for name, value in attrs.items():
            if name in ("href", "src", "xlink:href"):
                assert value.startswith(("#", "data:image/png")), (tag, value[:80])
                assert value[0] != "#" or value[1:] in ids
            assert "http:" not in value.replace("http://www.w3.org/", "")
            assert not name.startswith("on")
            for target in re.findall(r"url\(#(.+?)\)", value):
                assert target in ids
        if tag == "svg":
            assert attrs["role"] == "img"
            assert {*attrs["aria-labelledby"].split()} <= {*ids}
        if tag == "th":
            assert attrs["scope"] in ("row", "col")
    policy = next(attrs for _, attrs in page.starts if "http-equiv" in attrs)
    assert policy["content"].startswith("default-src 'none'")
    assert page.tables["columns-table"][0][:3] == ["column", "kind", "importance"]


def check_tables(tables, model, report):
    """Compare the tables of a page with numbers computed here."""
    columns = {row[0]: row for row in tables["columns-table"][1:]}
    mean, deviation = report.importance.mean, report.importance.deviation
    for j, name in enumerate(report.importance.names):
        told = f"{mean[j]:.4f} ± {deviation[j]:.4f}".replace("-", "\N{MINUS SIGN}")
        assert columns[name][2:4] == [told, f"{report.missing[j]:,}"]
    assert [kind for _, kind, _ in model.rows()] == [r[1] for r in tables["columns-table"][1:]]
    if not model.classes:
        for k, name in enumerate(model.targets):
            y, error = report.y[:, k], report.answers[:, k] - report.y[:, k]
            assert tables["scores-table"][1 + k] == [
                name, f"{1 - np.mean(error**2) / np.var(y):.4f}", "0.0000",
                f"{np.sqrt(np.mean(error**2)):.6g}", f"{y.std():.6g}",
                f"{np.abs(error).mean():.6g}", f"{np.abs(y - y.mean()).mean():.6g}",
            ]  # fmt: skip
        return
    right = report.y == report.answers
    counts = np.bincount(report.y)
    assert tables["scores-table"][1] == [
        "accuracy", f"{right.mean():.4f} ({right.sum()} of {len(right)})",
        f"{counts.max() / len(right):.4f}",
    ]  # fmt: skip
    for k, (name, *scores, rows) in enumerate(tables["classes-table"][1:]):
        assert name == model.classes[k]
        true, answered = report.y == k, report.answers == k
        both = (true & answered).sum()
        expected = both / max(answered.sum(), 1), both / max(true.sum(), 1)
        shown = [
            f"{v:.4f}" if n.any() else "\N{EN DASH}"
            for v, n in zip(expected, (answered, true), strict=True)
        ]
        assert (scores[:2], rows) == (shown, str(true.sum()))
        row = tables["confusion-table"][1 + k]
        assert row == [name, *(str((true & (report.answers == j)).sum()) for j in range(
            len(model.classes)))]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_page_tells_the_numbers(case, made):
    model, _, report, path = made[case]
    page = Page(path)
    check_tables(page.tables, model, report)
    assert ["command", "fcnn report m new.csv"] in page.tables["about-table"]
    assert ["command", "fcnn train a.csv"] in page.tables["training-table"]
    assert ["data", "new.csv"] in page.tables["about-table"]


@pytest.mark.slow
@pytest.mark.parametrize("targets", [["price"], ["price", "noise"]])
def test_quantiles_are_told_by_their_own_score(tmp_path, targets):
    data = houses()
    table = as_table(data)
    found = read_target(table, targets)
    preparation = Preparation.fit(table, infer_columns(table, targets))
    net = fcnn.Network((preparation.width, 2 * len(targets)), loss="quantile(0.1, 0.9)", rng=0)
    model = fcnn.Model(net, preparation, found.target.scaled(found.y))
    report = write_report(model, data, tmp_path / "r.html")
    each = report.scores.d2
    # The importance of a column is what is lost of that score.
    importance = permutation_importance(model, data, repeats=1)
    rng = np.random.default_rng(0)
    lost = []
    for name in importance.names:
        changed = {**data, name: np.asarray(data[name])[rng.permutation(table.rows)]}
        lost.append(report.scores.d2.mean() - model.evaluate(changed)["d2"])
    assert importance.score == report.importance.score == "d2"
    np.testing.assert_allclose(importance.values[:, 0], lost, rtol=1e-9, atol=1e-12)
    assert np.mean(each) == pytest.approx(model.evaluate(data)["d2"], rel=1e-12)
    told = [f"{value:.4f}" for value in each]
    if len(targets) > 1:
        told = [f"{value} of {name}" for value, name in zip(told, targets, strict=True)]
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"constants' loss that they save: {' and '.join(told)}." in text


@pytest.mark.slow
def test_a_model_without_record_or_names(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    network = fcnn.Network((3, 2), loss="cross_entropy", rng=0)
    model = fcnn.Model(network, Preparation.fit(X), Target((), [0, 1]))
    model.network.biases[0][:] = 10, -10  # class 0, always
    y = (np.arange(50) < 20).astype(int)
    report = write_report(model, X, tmp_path / "r.html", y)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "holds no curves" in text
    assert "<strong>Warning: </strong>the network is no better than always answering 0" in text
    assert report.importance.names == ("column 1", "column 2", "column 3")
    assert not report.importance.values.any()


# --- The page in a browser -----------------------------------------------------------------------

# Runs in a copy of the page, whose policy is taken out: the page itself runs nothing.
MEASURE = """<script>
window.alerts = 0;
window.alert = () => { window.alerts += 1; };
addEventListener("load", () => {
  const texts = (row) => [...row.cells].map((cell) => cell.textContent);
  const outside = [];
  let count = 0;
  for (const svg of document.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const own = text.getBoundingClientRect();
      count += 1;
      if (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1
          || own.bottom > box.bottom + 1) outside.push(text.textContent);
    }
  }
  const tables = {};
  for (const table of document.querySelectorAll("table"))
    tables[table.id] = [...table.rows].map(texts);
  const images = [...document.querySelectorAll("svg image")];
  const found = {
    tables, outside, count, alerts: window.alerts, images: images.length,
    wide: document.documentElement.scrollWidth - innerWidth, window: innerWidth,
    paper: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.querySelector("svg text")).fill,
    requests: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !name.startsWith("data:")),
  };
  const told = document.createElement("pre");
  told.id = "measured";
  told.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  document.body.append(told);
});
</script>"""


def shown(path, width, *options):
    """Return what a browser of a width measures of a page."""
    import base64

    text = path.read_text(encoding="utf-8")
    text = re.sub(r"<meta [^>]*Content-Security-Policy[^>]*>", "", text, count=1)
    copy = path.with_name("measured.html")
    copy.write_text(text.replace("</title>", f"</title>{MEASURE}", 1), encoding="utf-8")
    done = subprocess.run(
        [Chromium.path(), "--headless", "--no-sandbox", "--disable-gpu",
         f"--window-size={width},800", f"--user-data-dir={path.parent / 'profile'}", *options,
         "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=180, encoding="utf-8",
    )  # fmt: skip
    told = re.search(r'<pre id="measured">([^<]+)</pre>', done.stdout)
    assert told, done.stderr[-2000:]
    return json.loads(base64.b64decode(told[1]))


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_in_a_browser(case, made):
    model, _, report, path = made[case]
    for width in (1200, 500):
        found = shown(path, width)
        assert found["window"] == width
        check_tables(found["tables"], model, report)
        assert found["count"] > 20
        assert found["outside"] == []
        assert found["wide"] <= 0
        assert found["requests"] == []
        assert found["alerts"] == 0
        assert found["images"] == (2 if model.classes else 0)
    assert (found["paper"], found["ink"]) == ("rgb(255, 255, 255)", "rgb(27, 31, 36)")


@needs_browser
@pytest.mark.slow
def test_in_a_dark_browser(made):
    found = shown(made["numbers"][3], 800, "--blink-settings=preferredColorScheme=0")
    assert (found["paper"], found["ink"]) == ("rgb(20, 23, 26)", "rgb(231, 234, 238)")
