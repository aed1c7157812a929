"""Files of tables: every form holds the same cells; what is wrong with one is said by its line."""

import datetime as dt
import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fcnn.tables.kinds
import fcnn.tables.text
from fcnn.tables import TableError, as_table, infer_columns, read_table
from fcnn.tables.numbers import NumberRule
from fcnn.tables.reading import without_empty_rows
from fcnn.tables.text import read_cells

CASES = Path(__file__).parent / "cases"


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def contents(table):
    return {column.name: column.texts().tolist() for column in table.columns}


# The same table of a, b and y in many forms.
SAME = (
    "bom.csv", "comment.csv", "data.tsv", "emptyend.csv", "g.csv.gz", "pipe.csv", "sepline.csv",
    "trail.csv", "utf16.csv", "commahdr.csv", "commahdr2.csv", "d.parquet", "d.jsonl", "d.xlsx",
)  # fmt: skip


@pytest.fixture(scope="module")
def truth():
    """What plain text processing finds in the plainest of them."""
    lines = gzip.decompress((CASES / "g.csv.gz").read_bytes()).decode().splitlines()
    return list(zip(*(line.split(",") for line in lines[1:]), strict=True))


@pytest.mark.parametrize("name", SAME)
def test_a_table_is_the_same_in_every_form(name, truth):
    if name.endswith((".parquet", ".jsonl", ".xlsx")):
        pytest.importorskip("polars")
    if name.endswith(".xlsx"):
        pytest.importorskip("fastexcel")
    table = read_table(CASES / name)
    assert table.rows == 60
    a, b, y = table.columns[:3]
    assert [float(v) for v in a.texts()] == [float(v) for v in truth[0]]
    assert [float(v) for v in b.texts()] == [float(v) for v in truth[1]]
    assert y.texts().tolist() == list(truth[2])
    names = ["w, h", "d, e, f", "y"] if name == "commahdr.csv" else ["a", "b", "y"]
    if name == "commahdr2.csv":
        names = ["size, w", "depth, d, e", "y"]
    assert table.names[:3] == names


def test_pandas_reads_the_same_names_and_cells(tmp_path):
    pd = pytest.importorskip("pandas")
    text = 'a,a,,"q ""x"", z",\n1,2,3,"l1\nl2",x\n4,5,,"m, n",y\n'
    path = written(tmp_path / "t.csv", text)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    table = read_table(path)
    assert table.names == frame.columns.tolist()
    assert contents(table) == {name: frame[name].tolist() for name in frame.columns}
    assert [table.where(row) for row in range(2)] == ["line 2", "line 4"]


def test_what_was_left_out_is_said(tmp_path):
    text = "# made by hand\na,b\n1,2\n# half-way\n\n3,4\n,\n5,6\n,\n\n"
    table = without_empty_rows(read_table(written(tmp_path / "t.csv", text)))
    assert contents(table) == {"a": ["1", "3", "5"], "b": ["2", "4", "6"]}
    assert [table.where(row) for row in range(3)] == ["line 3", "line 6", "line 8"]
    assert any("2 comment lines (#) left out: line 1, 4" in note for note in table.notes)
    assert table.notes[-1] == "2 empty rows left out: line 5, line 7"


def test_one_empty_row_is_not_several(tmp_path):
    table = without_empty_rows(read_table(written(tmp_path / "t.csv", "a,b\n1,2\n,\n3,4\n")))
    assert table.notes == ["1 empty row left out: line 3"]


@pytest.mark.parametrize(
    ("text", "header", "cells"),
    [
        ("a\n1\n\n3\n\n\n", True, [["1", "", "3"]]),
        ('a\n1\n""\n3\n""\n', True, [["1", "", "3", ""]]),  # as pandas writes them
        ("\n1\n\n3\n", False, [["", "1", "", "3"]]),
        ("a,b\n1,2\n\n,\n3,4\n,\n\n", True, [["1", "", "", "3"], ["2", "", "", "4"]]),
        ("\n\na,b\n\n3,4\n", True, [["", "3"], ["", "4"]]),
        ("a,b\nr1,1,2\n\nr2,3,4\n", True, [["r1", "", "r2"], ["1", "", "3"], ["2", "", "4"]]),
        ("a,b\n1,2,\n\n3,4,\n", True, [["1", "", "3"], ["2", "", "4"]]),
    ],
)  # fmt: skip
def test_rows_without_a_value_stay_in_text_but_at_its_end(tmp_path, text, header, cells):
    table = read_table(written(tmp_path / "t.csv", text), header=header)
    assert list(contents(table).values()) == cells


def test_rows_without_a_value_stay_in_parquet(tmp_path):
    pl = pytest.importorskip("polars")
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [1, 2, None, None]}).write_parquet(path)
    assert read_table(path)["a"].texts().tolist() == ["1", "2", "", ""]
    pl.DataFrame({"a": [None, None]}, schema={"a": pl.Float64}).write_parquet(path)
    table = read_table(path)
    assert table["a"].is_missing().tolist() == [True, True]
    with pytest.raises(TableError, match=r"t\.parquet: all cells of its 2 rows are empty"):
        without_empty_rows(table)


def test_empty_rows_at_the_end_of_a_sheet_go(tmp_path):
    pl = pytest.importorskip("polars")
    pytest.importorskip("fastexcel")
    pytest.importorskip("xlsxwriter")
    rows = {"a": [1.5, None, 3.0, None], "b": ["x", None, "y", None]}
    pl.DataFrame(rows).write_excel(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx")
    assert contents(table) == {"a": ["1.5", "", "3"], "b": ["x", "", "y"]}
    assert table.where(2) == "line 4"


def test_a_header_with_a_hash_is_one(tmp_path):
    table = read_table(written(tmp_path / "t.csv", "#id,b\n1,2\n3,4\n"))
    assert table.names == ["#id", "b"]


def test_names_of_rows_as_r_writes_them(tmp_path):
    table = read_table(written(tmp_path / "t.csv", '"a","b"\n"r1",1,2\n"r2",3,4\n'))
    assert table.names == ["Unnamed: 0", "a", "b"]
    assert table["a"].values.tolist() == ["1", "3"]
    assert table.notes == [
        "rows have 3 cells, the header 2: the first of a row is taken for its name, the second for "
        "'a'"
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path, newline):
    path = tmp_path / "t.csv"
    path.write_bytes(newline.join(["a;b", "1;2,5", "3;4,5", ""]).encode())
    table = read_table(path)
    assert contents(table) == {"a": ["1", "3"], "b": ["2,5", "4,5"]}
    assert table.decimal == ","


def test_windows_1252_is_said(tmp_path):
    path = written(tmp_path / "t.csv", "a,Größe\n1,grün\n", "cp1252")
    table = read_table(path)
    assert contents(table) == {"a": ["1"], "Größe": ["grün"]}
    assert "line 1" in table.notes[0]
    assert "Windows-1252" in table.notes[0]


def test_all_rows_of_another_length_are_listed(tmp_path):
    rows = ["1,2,3"] * 20
    for line in (3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15):
        rows[line - 2] = "1,2,3,4" if line == 5 else "1,2"
    path = written(tmp_path / "t.csv", "\n".join(["a,b,c", *rows]))
    with pytest.raises(TableError) as error:
        read_table(path)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{path}: 12 rows have not 3 cells, as the header"
    assert lines[1] == "  line 3: 2 cells"
    assert lines[2] == "  line 5: 4 cells"
    assert len(lines) == 12
    assert lines[-1] == "  ... and 2 more"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n,\n", "no rows"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 3"),
        (b"a,b\n1,\x002\n", "line 2: a NUL"),
        (b"\x1f\x8bnot gzip", "gzip"),
        (b"PAR1 not Parquet", "intact Parquet"),
        (b"PK\x03\x04 not Excel", "intact Excel"),
        (b'{"a": 1}\n{"a": \n', "intact JSON"),
        (b'{"a": [1, 2]}\n', "'a'"),
        (b"\x93NUMPY...", "a NumPy array"),
    ],
)
def test_files_that_hold_no_table(tmp_path, content, said):
    if any(word in said for word in ("Parquet", "Excel", "JSON", "'a'")):
        pytest.importorskip("polars")
    if "Excel" in said:
        pytest.importorskip("fastexcel")
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=said) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(FileNotFoundError, match="folder"):
        read_table(tmp_path)
    with pytest.raises(TypeError, match="path"):
        read_table(3)


def test_standard_input(monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO((CASES / "g.csv.gz").read_bytes()))
    )
    table = read_table("-")
    assert table.rows == 60
    assert table.source == "standard input"


def test_a_first_line_of_data_is_said():
    assert "--no-header" in read_table(CASES / "noheader.csv").notes[0]
    table = read_table(CASES / "noheader.csv", header=False)
    assert (table.names, table.rows, table.notes) == (["column_1", "column_2", "column_3"], 60, [])
    # Years are names.
    assert not read_cells("who,1990,1991\nx,1,2\ny,3,4\n", "t").notes
    assert not read_cells("a,b\n1,2\n", "t").notes


def test_text_files_need_numpy_alone(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "polars", None)
    assert read_table(CASES / "pipe.csv").rows == 60
    with pytest.raises(ImportError, match=r"polars: pip install fcnn\[cli\]"):
        read_table(CASES / "d.parquet")


def test_empty_rows_of_json_lines(tmp_path):
    pytest.importorskip("polars")
    text = '{"a":1,"b":"x"}\n{"a":null,"b":null}\n\n{"a":2,"b":"y"}\n{"a":null,"b":null}\n'
    table = read_table(written(tmp_path / "t.jsonl", text))
    assert contents(table) == {"a": ["1", "", "2", ""], "b": ["x", "", "y", ""]}
    assert [table.where(row) for row in range(4)] == ["line 1", "line 2", "line 4", "line 5"]
    table = without_empty_rows(table)
    assert contents(table) == {"a": ["1", "2"], "b": ["x", "y"]}
    assert table.where(1) == "line 4"
    assert table.notes == ["2 empty rows left out: line 2, line 5"]
    np.testing.assert_array_equal(table["a"].values, [1, 2])


def test_numbers_are_exact(tmp_path):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500), [0.1]])
    path = written(tmp_path / "t.csv", "a,b\n" + "".join(f"{v!r},1\n" for v in values.tolist()))
    column = read_table(path)["a"]
    assert NumberRule().numbers(column.values.tolist()).tobytes() == values.tobytes()


def test_a_cell_beyond_the_reader_is_refused_by_its_line(tmp_path):
    path = written(tmp_path / "t.csv", "a,b\n1,2\n" + "x" * 200_000 + ",3\n")
    with pytest.raises(TableError, match="line 3: field larger than field limit") as error:
        read_table(path)
    assert len(str(error.value)) < 300


@pytest.mark.slow
def test_a_wide_header(tmp_path):
    names = [f"a rather long name, number {j}" for j in range(20_000)]
    text = ";".join(names) + "\n" + ";".join(["1"] * len(names))
    table = read_table(written(tmp_path / "t.csv", text))
    assert table.names == names
    assert table.rows == 1


def same_by_rows(text, header=True):
    """Whether reading column by column finds what reading row by row does; False if it gives up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcnn.tables.text, "rectangle", lambda *arguments: None)
        careful = read_cells(text, "t", header)
    quick = read_cells(text, "t", header)
    assert (quick.names, [*map(list, quick.columns)]) == (
        careful.names,
        [*map(list, careful.columns)],
    )
    assert (quick.separator, quick.notes, quick.renamed, quick.wrong) == (
        careful.separator, careful.notes, careful.renamed, careful.wrong,
    )  # fmt: skip
    assert [*quick.lines] == [*careful.lines]
    for column in quick.columns:
        if getattr(column, "numbers", None) is not None:
            np.testing.assert_array_equal(column.numbers, NumberRule().numbers([*column]))
    return isinstance(quick.lines, range)


PLAIN_PIECES = ["1", "2.5", " 3 ", "", "x", "\x1ft", "\u00e9"]
PIECES = [*PLAIN_PIECES, '"a, b"', '"q ""z"""', "#", "\u00a0t\u2003", '"l1\nl2"', "NA", 'i"n', "\r"]


@pytest.mark.parametrize("trials", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_columns_at_once_are_those_of_careful_reading(trials):
    rng = np.random.default_rng(0)
    ends = ["\n", "\n", "\n", "\r\n", "\r", "\n\n", ",\n", "\n,\n"]
    quick = 0
    for trial in range(trials):
        n, odd = int(rng.integers(1, 5)), trial % 3
        cells = PIECES if odd else PLAIN_PIECES
        lines = [",".join(f"c{j}" for j in range(n))]
        lines += [",".join(rng.choice(cells, n)) for _ in range(int(rng.integers(1, 30)))]
        chosen = rng.choice(ends, len(lines)) if odd == 2 else ["\n"] * len(lines)
        text = "".join(line + end for line, end in zip(lines, chosen, strict=True))
        try:
            quick += same_by_rows(text, header=trial % 2 == 0)
        except TableError:
            with pytest.raises(TableError):
                read_cells(text, "t", header=trial % 2 == 0)
    assert 0.25 < quick / trials < 0.85
    for path in sorted(CASES.glob("*.csv")):
        same_by_rows(fcnn.tables.text.decoded(path.read_bytes(), "t", []))
    # More rows than are read at a time, with numbers that are followed by texts, and the reverse.
    for late in ("x", "", "\u00e9 \u00e9", " 7 "):
        rows = [f"{i},{i / 8},w{i % 5}" for i in range(11_000)]
        rows[9_000:] = [f"{i},{late},{i}" for i in range(2_000)]
        text = "\n".join(["a,b,c", *rows])
        assert same_by_rows(text)
        numbers = [column.numbers is not None for column in read_cells(text, "t").columns]
        assert numbers == [True, True, False]
    for quoted in ("x", '"x"'):
        assert same_by_rows("a,b\n" + "".join(f"{i},{quoted}\n" for i in range(11_000)))


@pytest.mark.parametrize(
    ("text", "is_quick"),
    [
        ("a,b\n1,2\n3,4", True),
        ('a,b\n1,"2"\n3,4', True),
        ("sep=|\na|b\n1|2\n", True),
        ("a,b\r1,2\r\n3,4\n", True),
        ("a,b,c\n1,2\n3,4,5,6\n7,8,9\n", False),  # as many separators as three rows have
        ("a\n1\n\n2\n", False),
        ("a,b\n1,2\n#,3\n", False),
        ("a,b\n1,2\n,\n", False),
        ('a,b\n1,"2\n3"\n', False),
        ("a,b\n" + 4 * ("x" * 100_000 + "," + "y" * 100_000 + "\n"), True),
    ],
    ids=range(10),
)
def test_which_texts_are_read_at_once(text, is_quick):
    try:
        assert same_by_rows(text) == is_quick
    except TableError:
        assert not is_quick


@pytest.mark.slow
def test_numbers_at_once_are_those_of_careful_reading():
    pieces = [
        "1",
        "-2.5e3",
        "+4",
        ".5",
        "6.",
        "1e999",
        "",
        "NA",
        " ",
        "1_0",
        "nan",
        "inf",
        "\u0661",
        "x",
    ]
    rng = np.random.default_rng(0)
    for _ in range(300):
        texts = rng.choice(pieces[: rng.integers(1, len(pieces) + 1)], 20).tolist()
        careful = np.concatenate([NumberRule().numbers([text]) for text in texts])
        np.testing.assert_array_equal(NumberRule().numbers(texts), careful)
        # Words among numbers end as words do, or as numbers.
        mixed = [*texts, "1.5", "NA", "x1"][: int(rng.integers(20, 24))]
        one_by_one = [NumberRule().numbers([text])[0] for text in mixed]
        np.testing.assert_array_equal(NumberRule().numbers(mixed), one_by_one)
        table = as_table({"c": texts, "f": list(range(20))})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fcnn.tables.kinds, "_plain_number", lambda *arguments: None)
            expected = infer_columns(table)
        assert infer_columns(table) == expected


def excel(path, **sheets):
    xlsxwriter = pytest.importorskip("xlsxwriter")
    pytest.importorskip("fastexcel")
    pytest.importorskip("polars")
    with xlsxwriter.Workbook(path) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for i, row in enumerate(rows):
                sheet.write_row(i, 0, row)
    return path


def test_sheets(tmp_path):
    rows, others = [["a", "y"], [1, 2], [3, 4]], [["z"], [5], [6]]
    path = excel(tmp_path / "t.xlsx", first=rows, second=others, empty=[])
    with pytest.raises(TableError, match=r"sheet: .* several sheets with rows, 'first', 'second'"):
        read_table(path)
    assert contents(read_table(path, sheet="second")) == {"z": ["5", "6"]}
    assert contents(read_table(path, sheet="first")) == {"a": ["1", "3"], "y": ["2", "4"]}
    with pytest.raises(TableError, match="no sheet 'third', only 'first', 'second', 'empty'"):
        read_table(path, sheet="third")
    table = read_table(excel(tmp_path / "u.xlsx", data=rows, empty=[]))
    assert table.notes == ["sheet 'data' is read, the only one with rows; not 'empty'"]
    assert read_table(excel(tmp_path / "v.xlsx", data=rows)).notes == []
    with pytest.raises(TableError, match="is no Excel file"):
        read_table(CASES / "pipe.csv", sheet="first")
    table = read_table(tmp_path / "v.xlsx", header=False)
    assert contents(table) == {"column_1": ["a", "1", "3"], "column_2": ["y", "2", "4"]}
    assert table.where(1) == "line 2"


def test_names_and_late_texts_of_a_sheet(tmp_path):
    """Columns are called as those of a text file; no cell vanishes because it is another type."""
    rows = [[i, i + 0.5, "", i] for i in range(2000)]
    rows[1500][0] = "x"
    path = excel(tmp_path / "t.xlsx", data=[["y", "a", "", "y"], *rows])
    table = read_table(path)
    assert (table.names, table.renamed) == (["y", "a", "y.1"], {"y.1": "y"})
    assert table["y"].texts()[1500] == "x"


def edited(path, old, new):
    """Exchange a text in the first sheet of an Excel file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    assert old in parts[name]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, content in parts.items():
            archive.writestr(other, content.replace(old, new) if other == name else content)
    return path


@pytest.mark.parametrize("far", ["XFD1048576", "B99999999999999999999", "ZZZZZZZZ2", "CRX99999"])
def test_a_sheet_with_cells_far_apart_is_refused(tmp_path, far):
    """fastexcel makes the whole rectangle, and ends the process where it finds no memory."""
    path = excel(tmp_path / "t.xlsx", data=[["a", "y"], [1, 2], [3, 4]])
    assert contents(read_table(path)) == {"a": ["1", "3"], "y": ["2", "4"]}
    edited(path, b'r="B3"', b'r="%s"' % far.encode())
    with pytest.raises(
        TableError, match=r"the 6 cells of .*sheet1.xml'\) are in .* expected a table"
    ):
        read_table(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'<c r="B3">', b'<c\nr = "XFD1048576">'),
        (b'<c r="B3">', b'<c x="/>" r=\'XFD1048576\'>'),
        (b'<row r="3" spans="1:2"><c r="A3"><v>3</v></c><c r="B3">',
         b'<row r="1048576"><c r="XFC1048576"/><c>'),
    ],
    ids=["white", "quoted", "unnamed"],
)  # fmt: skip
def test_a_sheet_with_cells_far_apart_is_refused_however_it_says_so(tmp_path, old, new):
    path = edited(excel(tmp_path / "t.xlsx", data=[["a", "y"], [1, 2], [3, 4]]), old, new)
    with pytest.raises(TableError, match=r"cells of .* are in .* expected a table"):
        read_table(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600) + path.read_bytes())
    with pytest.raises(TableError, match=r"cells of .* are in .* expected a table"):
        read_table(path)


def test_a_sheet_with_a_forgotten_cell_or_a_style_far_away_is_read(tmp_path):
    rows = [["a", "y"], [1, 2], [3, 4]]
    path = edited(excel(tmp_path / "t.xlsx", data=rows), b'r="B3"', b'r="B200000"')
    assert read_table(path).rows == 199_999
    texts = [["a", "y"], ['see r="A1"', 'or r="ZZ99999" >'], ["3", "4"]]
    for far in (
        b'<c r="XFD1048576" s="1"/>', b'<c r="XFD1048576" s="1"></c>',
        b'<c r="XFD1048576"><f>A1</f></c>',
    ):  # fmt: skip
        path = edited(excel(tmp_path / "u.xlsx", data=rows), b'<c r="A3">', far + b'<c r="A3">')
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(
                "xl/externalLinks/externalLink1.xml",
                '<externalLink><cell r="A1"><v>1</v></cell><cell r="ZZ999999"><v>1</v></cell>'
                "</externalLink>",
            )
        assert contents(read_table(path)) == {"a": ["1", "3"], "y": ["2", "4"]}
    table = read_table(excel(tmp_path / "v.xlsx", data=texts))
    assert contents(table) == {"a": [texts[1][0], "3"], "y": [texts[1][1], "4"]}


def test_a_sheet_that_unpacks_to_more_than_a_table_does_is_refused(tmp_path):
    path = excel(tmp_path / "t.xlsx", data=[["a", "y"], [1, 2]])
    edited(path, b"</sheetData>", b"</sheetData>" + b" " * 17_000_000)
    with pytest.raises(TableError, match="as a damaged or hostile file's"):
        read_table(path)


def test_what_is_left_of_a_file_goes_with_the_error(tmp_path):
    path = written(tmp_path / "t.csv", "a,b\n1,2\n3\n5,6\n")
    with pytest.raises(TableError) as error:
        read_table(path)
    assert contents(error.value.rest) == {"a": ["1", "5"], "b": ["2", "6"]}
    assert error.value.rest.where(1) == "line 4"


def test_a_file_of_which_polars_dies_is_refused():
    """It asks for 2^61 bytes; polars 2.1 ends the process."""
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    with pytest.raises(TableError, match="cannot be read as an intact Parquet file"):
        read_table(CASES / "negative_rows.parquet")


@pytest.mark.parametrize("writer", ["polars", "pandas"])
def test_both_readers_of_parquet_give_the_same(writer, tmp_path, monkeypatch):
    pl = pytest.importorskip("polars")
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    moments = [dt.datetime(2020, 1, 2, 3, 4), None, dt.datetime(1999, 12, 31)]
    data = {
        "x": [1.5, None, 3.0], "n": [1, 2, 3], "t": ["a", None, "b"], "w": [True, False, None],
        "when": moments, "day": [m and m.date() for m in moments],
    }  # fmt: skip
    if writer == "polars":
        frame = pl.DataFrame(data).with_columns(
            pl.col("t").cast(pl.Categorical).alias("kind"), pl.col("x").cast(pl.Float32).alias("f"),
            pl.col("x").cast(pl.Decimal(10, 2)).alias("d"),
        )  # fmt: skip
        frame.write_parquet(tmp_path / "t")
    else:
        frame = pd.DataFrame(data).assign(kind=pd.Categorical(data["t"]))
        frame.index = [5, 6, 7]
        frame.to_parquet(tmp_path / "t")
    by_pyarrow = read_table(tmp_path / "t")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    by_polars = read_table(tmp_path / "t")
    assert contents(by_pyarrow) == contents(by_polars)
    for one, other in zip(by_pyarrow.columns, by_polars.columns, strict=True):
        assert one.values.dtype == other.values.dtype
        assert one.precision == other.precision
        np.testing.assert_array_equal(one.is_missing(), other.is_missing())


def test_a_panic_of_polars_is_a_refusal(tmp_path, monkeypatch):
    # Which is no Exception: some damaged Parquet files make it panic.
    polars = pytest.importorskip("polars")
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "t.parquet")

    def panic(error):
        def read(stream):
            raise error("called `Result::unwrap()`")

        return read

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(polars, "read_parquet", panic(polars.exceptions.PanicException))
    with pytest.raises(TableError, match=r"t\.parquet: cannot be read as an intact Parquet file: "):
        read_table(tmp_path / "t.parquet")
    monkeypatch.setattr(polars, "read_parquet", panic(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        read_table(tmp_path / "t.parquet")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for error, refusal in (
        (polars.exceptions.PanicException, TableError), (KeyboardInterrupt, KeyboardInterrupt)
    ):  # fmt: skip
        met = panic(error)
        monkeypatch.setattr("fcnn.tables.reading.as_column", lambda *_, met=met: met(None))
        with pytest.raises(refusal):
            read_table(tmp_path / "t.parquet")
