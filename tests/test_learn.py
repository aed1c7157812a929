"""fcnn.learn without a browser: what the page asks for, who is answered, and the exercises."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fcnn
from fcnn.learn import _requests, check, serve
from fcnn.learn._data import read_csv
from fcnn.learn._exercises import EXERCISES, described
from fcnn.learn._requests import answer

NET = {
    "sizes": [2, 3, 2], "activation": "tanh", "output": "sigmoid", "loss": "squared_error",
    "dtype": "float64", "seed": 4,
}  # fmt: skip


def network_of(found):
    """Return the network that an answer tells of."""
    net = fcnn.Network(
        found["sizes"], found["activations"][:-1], found["activations"][-1], found["loss"],
        found["dtype"],
    )  # fmt: skip
    for l, (W, b) in enumerate(zip(found["W"], found["b"], strict=True)):
        net.weights[l][:], net.biases[l][:] = W, b
    return net


# --- Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_trace_is_the_networks(dtype):
    found = answer("trace", {**NET, "dtype": dtype})
    json.dumps(found, allow_nan=False)
    net = network_of(found)
    trace = net.trace([found["x"]], [found["y"]])
    for l in range(1, 3):
        for name in ("z", "a", "delta"):
            assert found[name][l] == getattr(trace, name)[l][0].tolist()
        assert found["dW"][l] == trace.dW[l].tolist()
        assert found["db"][l] == trace.db[l].tolist()
    assert found["C"] == trace.loss
    assert found["delta"][0] == trace.delta[0][0].tolist()
    assert all(w == round(w, 2) for W in net.weights for w in np.float64(W).ravel().round(6))


def test_sums_grow_term_by_term():
    found = answer("trace", NET)
    told = answer("explain", {**NET, "l": 1, "k": 2, "digits": 5})
    delta, W = np.array(found["delta"][2]), np.array(found["W"][1])
    for i, term in enumerate(told["terms"]):
        assert (term["k"], term["delta"], term["W"]) == (i, delta[i], W[i, 2])
        assert term["sum"] == pytest.approx((delta[: i + 1] * W[: i + 1, 2]).sum(), rel=1e-14)
    assert "terms" not in answer("explain", {**NET, "l": 2, "k": 0})


def test_a_curve_is_the_loss_over_one_parameter():
    found = answer("trace", NET)
    net = network_of(found)
    for i in range(net.num_parameters):
        told = answer("curve", {**NET, "parameter": i})
        assert told["slope"] == net.gradients([found["x"]], [found["y"]])[1][i]
        moved = net.copy()
        moved.parameters[i] = told["values"][7]
        assert told["losses"][7] == moved.gradients([found["x"]], [found["y"]])[0]


@pytest.mark.parametrize("sizes", [[2, 3, 3, 2], [3, 2, 4], [2, 2, 2, 2]])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_the_check_passes_until_it_is_broken(sizes, activation):
    request = {**NET, "sizes": sizes, "activation": activation, "seed": 3}
    whole = answer("check", request)
    assert whole["passed"]
    net = network_of(answer("trace", request))
    found = answer("trace", request)
    gradient = net.gradients([found["x"]], [found["y"]])[1]
    assert [row[4] for row in whole["rows"]] == gradient.tolist()
    np.testing.assert_allclose([row[3] for row in whole["rows"]], gradient, atol=1e-6)
    last = sizes[-1] * (sizes[-2] + 1)
    for broken in _requests.BREAKS:
        told = answer("check", {**request, "broken": broken})
        wrong = [row[4] for row in told["rows"]]
        if activation == "relu" and np.allclose(gradient, wrong, rtol=0, atol=1e-12):
            continue  # where every z is positive, or none
        assert not told["passed"], broken
        # The output layer comes before the mistake.
        assert wrong[-last:] == gradient[-last:].tolist()


def test_each_mistake_is_the_one_that_it_is_called():
    request = {**NET, "sizes": [2, 3, 3]}
    found = answer("trace", request)
    W, delta, slope = (np.array(found[name][i]) for name, i in
                       (("W", 1), ("delta", 2), ("slope", 1)))  # fmt: skip
    x = np.array(found["x"])
    for broken, back in (("sigma", delta @ W), ("transpose", slope * (W @ delta)),
                         ("sum", slope * delta[0] * W[0])):  # fmt: skip
        told = answer("check", {**request, "broken": broken})
        first = np.array([row[4] for row in told["rows"]][:6]).reshape(2, 3)
        np.testing.assert_allclose(first, np.outer(x, back), rtol=1e-12)


def test_descent_ends_where_it_runs_away():
    found = answer("descend", {"lr": 0.3, "parameters": [0, 9], "start": [1, 2], "steps": 20})
    assert {name: len(path) for name, path in found["paths"].items()} == dict.fromkeys(
        ("SGD", "momentum", "Adam"), 21
    )
    assert all(path[0][:2] == [1, 2] for path in found["paths"].values())
    assert found["names"] == ("W^1_0,0", "W^2_0,0") or found["names"] == ["W^1_0,0", "W^2_0,0"]
    json.dumps(answer("descend", {"lr": 1e6, "activation": "identity"}), allow_nan=False)


def test_a_training_goes_on_and_is_saved(tmp_path):
    import base64

    begun = answer("start", {"data": "circles", "hidden": [6], "activation": "tanh", "grid": 5,
                             "nodes": True, "lr": 0.1, "samples": 300})  # fmt: skip
    net = _requests._sessions[begun["id"]].net
    for _ in range(3):
        told = answer("run", {"id": begun["id"], "epochs": 20, "grid": 5, "nodes": True})
        X, y = begun["X"], begun["y"]
        whole = net.evaluate(X, y)
        assert (told["loss"], told["accuracy"]) == (whole["loss"], whole["accuracy"])
        side = np.linspace(-1.3, 1.3, 5)
        answers = net.predict(np.column_stack([g.ravel() for g in np.meshgrid(side, side)]))
        np.testing.assert_allclose(np.reshape(told["plane"], (25, 2)), answers, atol=1e-4)
        trace = net.trace(X[:256], y[:256])
        np.testing.assert_allclose(
            told["deltas"], [np.abs(d).mean() * len(d) for d in trace.delta[1:]], rtol=1e-6
        )
    assert told["accuracy"] > 0.9
    saved = answer("save", {"id": begun["id"]})
    (tmp_path / "n.safetensors").write_bytes(base64.b64decode(saved["file"]))
    # It answers rows as they were before the page scaled them, and knows what they are.
    own = fcnn.load(tmp_path / "n.safetensors")
    rows, labels = fcnn.datasets.make_circles(300, 0.1, rng=0)
    scaled = _requests._sessions[begun["id"]].data
    np.testing.assert_allclose(own.predict(rows), net.predict(scaled.X), atol=1e-5)
    assert (own.predict(rows).argmax(axis=1) == labels).mean() > 0.9
    assert (own.features, own.classes) == (["x", "y"], ["0", "1"])
    for _ in range(_requests.MOST_SESSIONS):
        answer("start", {"data": "xor", "hidden": [2]})
    with pytest.raises(ValueError, match="id: there is no such training any more"):
        answer("run", {"id": begun["id"]})


def test_a_grid_is_checked_before_the_training():
    begun = answer("start", {"data": "xor", "hidden": [2]})
    net = _requests._sessions[begun["id"]].net
    before, known = net.parameters.copy(), list(_requests._sessions)
    for grid, message in ((1, "at least 2"), (65, "at most 64"), ("x", "an integer")):
        for name in ("run", "start"):
            with pytest.raises((ValueError, TypeError), match=f"grid: expected {message}"):
                answer(name, {"id": begun["id"], "data": "xor", "hidden": [2], "grid": grid})
    np.testing.assert_array_equal(net.parameters, before)
    assert list(_requests._sessions) == known


def test_the_largest_numbers_of_a_table():
    X = read_csv("3.4e38,0,x\n-3.4e38,1e-320,y\n0,0,x\n0,0,y").X
    assert X.tolist() == [[1, -1], [-1, 1], [0, -1], [0, -1]]


def test_deltas_vanish_with_sigmoids_and_not_with_relu():
    def shares(activation):
        told = answer("start", {"data": "moons", "hidden": [8] * 6, "activation": activation})
        told = answer("run", {"id": told["id"], "epochs": 2, "lr": 0.003})
        return told["deltas"][0] / told["deltas"][-2]

    assert shares("sigmoid") < 1e-2
    assert shares("relu") > 0.05


def test_digits_of_ones_own():
    told = answer("start", {"data": "digits", "hidden": [24], "activation": "relu", "lr": 0.01})
    told = {**told, **answer("run", {"id": told["id"], "epochs": 10, "nodes": True})}
    assert told["test_accuracy"] > 0.85
    assert np.shape(told["images"]) == (24, 64)
    X, _ = fcnn.datasets.load_digits()
    found = answer("predict", {"id": told["id"], "x": (X[0] / 16).tolist()})
    np.testing.assert_array_equal(
        np.float32(found["a"]), _requests._sessions[told["id"]].net.predict(X[0] / 16)
    )


def test_a_table_of_ones_own(tmp_path):
    import base64

    text = "x,y,kind\n" + "\n".join(f"{i},{-i * 2},{'red' if i % 2 else 'blue'}" for i in range(20))
    data = read_csv(text)
    assert (data.classes, data.features, data.notes) == (["blue", "red"], ["x", "y"], [])
    assert (data.X.min(), data.X.max(), data.y[:3].tolist()) == (-1, 1, [0, 1, 0])
    begun = answer("start", {"data": "csv", "csv": text, "hidden": [3], "activation": "tanh"})
    assert begun["classes"] == data.classes
    answer("run", {"id": begun["id"], "epochs": 5})
    saved = answer("save", {"id": begun["id"]})
    (tmp_path / "n.safetensors").write_bytes(base64.b64decode(saved["file"]))
    own = fcnn.load(tmp_path / "n.safetensors")
    rows = [[i, -2 * i] for i in range(20)]
    net = _requests._sessions[begun["id"]].net
    np.testing.assert_allclose(own.predict(rows), net.predict(data.X), atol=1e-5)
    assert (own.features, own.classes) == (data.features, data.classes)


PLAIN = "a,b,c\n1,2,x\n3,4.5,y\n5,6,x\n7,8,y\n"
GERMAN = PLAIN.replace(",", ";").replace(".", ",")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (PLAIN.encode(), PLAIN), (PLAIN.encode("utf-16"), PLAIN),
        (PLAIN.replace(",", "\t").replace("\n", "\r\n").encode(), PLAIN),
        (GERMAN.encode(), GERMAN),
        (PLAIN.replace("x", "gr\xfcn").encode("cp1252"), PLAIN.replace("x", "gr\xfcn")),
        (PLAIN.replace("x", '"x, or so"').encode(), PLAIN.replace("x", '"x, or so"')),
        (b"\n" + PLAIN.replace("\n5", "\n\n5").encode(), PLAIN),
        (PLAIN[6:].encode(), "column_1,column_2,column_3\n" + PLAIN[6:]),
    ],
    ids=["utf-8", "utf-16", "tabs", "semicolons", "windows", "quotes", "empty lines", "no header"],
)  # fmt: skip
def test_files_of_ones_own(file, text):
    """What any program writes: the page has the same table of it, and so has the network."""
    import base64

    found = answer("table", {"name": "t.csv", "file": base64.b64encode(file).decode()})
    assert found["csv"] == text
    data = read_csv(text)
    np.testing.assert_allclose(data.X * data.span + data.centre, [[1, 2], [3, 4.5], [5, 6], [7, 8]])
    assert data.y.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"%PDF-1.7 ...", "t.csv: is a PDF; expected"), (b"", "t.csv: is empty"),
        (b"\x00\x01\x02", "t.csv, line 1: a NUL byte"), (b"just words\n", "got 1 column;"),
        (PLAIN.replace(",x", "").encode(), "t.csv: 2 rows have not 3 cells"),
        (b"a,b,c\n", "has a header"),
    ],
)  # fmt: skip
def test_refused_files(file, message):
    import base64

    with pytest.raises(ValueError, match=re.escape(message)):
        answer("table", {"name": "t.csv", "file": base64.b64encode(file).decode()})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (3, "csv: expected text"), ("", "csv: is empty"),
        ("1,2,x\n3,4,y\n", "4 to 2000 rows of data, got 2"),
        ("a,b,c\n1,2,x\n1,2\n3,4,y\n", "line 3: 2 cells"),
        ("a;b;c;d\n1;2;x;9\n", "two columns of numbers and one of classes, got 4 columns"),
        ("1 2 x\n3 4 y\n5 6 x\n7 8 y\n", "got 1 column; commas, semicolons, tabs or bars"),
        ("1,2,x\n1,nan,y\n3,4,y\n5,6,x", "line 2, column 'column_2': 'nan'; expected a number"),
        # The first row is one of data, not a header: one of its cells is a number.
        ("1,O.9,x\n1,2,y\n3,4,y\n5,6,x",
         "line 1, column 'column_2': 'O.9'; expected a number"),
        ("a,b,c\n1,2,x\n1,1_0,y\n3,4,y\n5,6,x", "line 3, column 'b': '1_0'; expected a number"),
        ("a,b,c\n1,2,x\n,1,y\n3,4,\n5,6,x", "csv: 2 problems"),
        ("1,2,x\n1,2,x\n3,4,x\n5,6,x", "2 to 10 classes in the last column, got 1"),
        ("1,2,x\n" * 2001, "4 to 2000 rows of data, got 2001"),
        ("1,2," + "a" * 200_000 + "\n" + "1,2,b\n" * 5, "field larger than field limit"),
        ("1.7e308,2,x\n-1.7e308,1,y\n0,0,x\n1,1,y", "csv: 2 problems"),
        ("0,2,x\n1,-4e38,y\n0,0,x\n1,1,y", "'-4e38'; expected a number that float32 can hold"),
        ("0,0,x\n1,5e-324,y\n0,0,x\n1,0,y", "column 'column_2': expected numbers further apart"),
    ],
)  # fmt: skip
def test_refused_tables(text, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        answer("start", {"data": "csv", "csv": text, "hidden": [2]})


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        ("trase", {}, "request: .*'trace'"), ("trace", [], "request: expected an object"),
        ("trace", {}, "sizes: is missing"), ("trace", {"sizes": [2]}, "sizes: expected 2 to 8"),
        ("trace", {"sizes": [2] * 9}, "sizes: expected 2 to 8"),
        ("trace", {"sizes": [2, 65]}, r"sizes\[1\]: expected at most 64"),
        ("trace", {"sizes": [64] * 8}, "at most 20000 parameters"),
        ("trace", {"sizes": [2, 2.5]}, r"sizes\[1\]: expected an integer"),
        ("trace", {**NET, "activation": "rellu"}, "activation: .*'relu'"),
        ("trace", {**NET, "loss": "squared"}, "loss: "),
        ("trace", {**NET, "output": "softmax", "loss": "poisson"}, "output_activation: "),
        ("trace", {**NET, "x": [1]}, r"x: expected shape"),
        ("trace", {**NET, "x": [1, "b"]}, "x: "), ("trace", {**NET, "x": [1e999, 0]}, "x: "),
        ("trace", {**NET, "y": [1, 2, 3]}, "y: expected shape"),
        ("trace", {**NET, "x": [[1, 2]] * 3, "y": [[0, 1]] * 3}, "x: expected one sample"),
        ("check", {**NET, "x": [[1, 2]] * 3, "y": [[0, 1]] * 3}, "x: expected one sample"),
        ("curve", {**NET, "x": [[1, 2]], "y": [[0, 1]], "parameter": 0}, "x: expected one sample"),
        ("trace", {**NET, "W": [[1]], "b": [[1]]}, "W: expected 2 of them"),
        ("trace", {**NET, "W": [[[1, 2]], 3], "b": [1, 2]}, r"W\[0\]: expected shape \(3, 2\)"),
        ("trace", {**NET, "seed": -1}, "seed: expected at least 0"),
        ("explain", {**NET, "l": 5, "k": 0}, "l: expected 0 to 2"),
        ("explain", {**NET, "l": 1}, "k: is missing"),
        ("explain", {**NET, "l": 1, "k": 0, "digits": 99}, "digits: expected at most 17"),
        ("curve", {**NET, "parameter": 99}, "parameter: expected at most 16"),
        ("check", {**NET, "epsilon": 0}, "epsilon: expected"),
        ("check", {**NET, "broken": "everything"}, "broken: expected"),
        ("descend", {"lr": "fast"}, "lr: expected a number"),
        ("descend", {"lr": 1, "steps": 10**9}, "steps: expected at most 500"),
        ("descend", {"lr": 1, "parameters": [0, 0]}, "parameters: expected two places"),
        ("descend", {"lr": 1, "start": [1]}, "start: expected two numbers"),
        ("start", {"data": "mnist"}, "data: expected"),
        ("start", {"data": "xor", "samples": 10**9}, "samples: expected at most 2000"),
        ("start", {"data": "xor", "hidden": "many"}, "hidden: expected at most 6 sizes"),
        ("start", {"data": "xor", "optimizer": "lm"}, "optimizer: expected"),
        ("run", {"id": "x"}, "id: there is no such training"),
        ("run", {"id": ["x"]}, "id: there is no such training"),
    ],
)  # fmt: skip
def test_refused_by_name(name, request_, message):
    with pytest.raises((ValueError, TypeError), match=message):
        answer(name, request_)


# --- The server -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    with serve() as one:
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        yield one
        one.shutdown()


def told(server, method, path, body=None, **headers):
    """Return status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    found = reply.status, reply.read(), dict(reply.getheaders())
    connection.close()
    return found


JSON = {"Content-Type": "application/json"}


def test_the_server_is_this_machines_and_knows_its_page(server):
    assert server.server_address[0] == "127.0.0.1"
    root = f"/{server.token}/"
    status, page, headers = told(server, "GET", root)
    assert status == 200
    assert b"main.js" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    for name in server.files:
        status, body, _ = told(server, "GET", root + name)
        assert (status, body) == (200, server.files[name])
    assert told(server, "HEAD", root)[:2] == (200, b"")
    status, body, _ = told(server, "POST", f"{root}api/trace", json.dumps(NET), **JSON)
    assert (status, json.loads(body)["sizes"]) == (200, [2, 3, 2])


def test_answers_leave_at_once(server):
    """Head and body in two packets would take 40 ms, until the first is acknowledged."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    seconds = []
    for _ in range(30):
        begin = time.perf_counter()
        connection.request("POST", f"/{server.token}/api/trace", json.dumps(NET), JSON)
        connection.getresponse().read()
        seconds.append(time.perf_counter() - begin)
    connection.close()
    assert min(seconds) < 0.03


def test_without_the_secret_nothing_is_answered(server):
    for path in ("/", "/index.html", "/x/", f"/{server.token}", f"/{server.token[:-1]}/", "//",
                 f"/{server.token}x/", f"/x/{server.token}/", "/api/trace"):  # fmt: skip
        assert told(server, "GET", path)[0] == 403, path
        assert told(server, "POST", path, "{}", **JSON)[0] == 403, path
    with serve() as other:
        assert other.token != server.token
        assert len(other.token) >= 32


def test_other_hosts_and_pages_are_refused(server):
    root = f"/{server.token}/"
    port = server.server_address[1]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        assert told(server, "GET", root, Host=host)[0] == 403, host
    assert told(server, "GET", root, Host=f"localhost:{port}")[0] == 200
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://localhost"):
        status, _, _ = told(server, "POST", f"{root}api/trace", "{}", Origin=origin, **JSON)
        assert status == 403, origin
    good = told(
        server, "POST", f"{root}api/options", "{}", Origin=f"http://127.0.0.1:{port}", **JSON
    )
    assert good[0] == 200


@pytest.mark.parametrize(
    "name",
    ["../_server.py", "..%2f_server.py", "%2e%2e/_server.py", "/etc/passwd", "vendor/../../x",
     "vendor/fonts/", "vendor", "index.html/", "main.js%00", "\\..\\_server.py", "_server.py"],
)  # fmt: skip
def test_no_other_file_is_read(server, name):
    assert told(server, "GET", f"/{server.token}/{name}")[0] == 404


def test_what_is_too_large_or_no_json_is_refused(server):
    path = f"/{server.token}/api/trace"
    assert told(server, "POST", path, "{}")[0] == 415
    assert told(server, "POST", path, "{}", **{"Content-Type": "text/plain"})[0] == 415
    for length in ("99999999999999999999", "4000001", "-1", "x", "1_0"):
        status, _, headers = told(server, "POST", path, b"", **JSON, **{"Content-Length": length})
        assert status in (411, 413)
        assert headers["Connection"] == "close"
    for text in ("", "{", "[]", '{"sizes": NaN}', "[" * 100_000, b"\xff\xfe", '{"sizes": 1e999}'):
        status, body, _ = told(server, "POST", path, text, **JSON)
        assert (status, list(json.loads(body))) == (400, ["error"]), text
    assert told(server, "POST", f"/{server.token}/trace", "{}", **JSON)[0] == 404
    assert told(server, "PUT", path, "{}", **JSON)[0] == 501
    error = json.loads(told(server, "POST", path, '{"sizes": [2, 2, 1]}', **JSON)[1])
    assert "error" not in error
    found = told(server, "POST", path, '{"sizes": [2, 2], "loss": "sqared_error"}', **JSON)
    assert "did you mean 'squared_error'" in json.loads(found[1])["error"]


def test_ports():
    with serve() as one, pytest.raises(OSError, match=r"in use|Address"):
        serve(one.server_address[1]).server_close()
    with pytest.raises(ValueError, match="port: expected at most 65535"):
        serve(65536)
    with pytest.raises(ValueError, match="port: expected at least 0"):
        serve(-1)


# --- The exercises --------------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(W, b, x):
    z, a = [], []
    for weights, biases in zip(W, b, strict=True):
        z.append(weights @ (a[-1] if a else x) + biases)
        a.append(sigmoid(z[-1]))
    return z, a


RIGHT = {
    "forward": forward,
    "output_delta": lambda z, a, y: (a - y) * sigmoid(z) * (1 - sigmoid(z)),
    "hidden_delta": lambda W, z, delta: sigmoid(z) * (1 - sigmoid(z)) * (delta @ W),
    "gradient": np.outer,
    "update": lambda W, dW, eta: W - eta * dW,
}
WRONG = {
    "a sigma' that is left out": ("output_delta", lambda z, a, y: a - y),
    "y - a": ("output_delta", lambda z, a, y: (y - a) * a * (1 - a)),
    "factor 2": ("output_delta", lambda z, a, y: 2 * (a - y) * a * (1 - a)),
    "left out": ("hidden_delta", lambda W, z, delta: delta @ W),
    "first receiving node alone": (
        "hidden_delta", lambda W, z, delta: sigmoid(z) * (1 - sigmoid(z)) * delta[0] * W[0]
    ),
    "a b that is left out": (
        "forward", lambda W, b, x: forward(W, [0 * one for one in b], x)
    ),
    "sigma that is left out": ("forward", lambda W, b, x: (forward(W, b, x)[0],) * 2),
    "the transpose": ("gradient", lambda delta, a: np.outer(a, delta)),
    "it climbs": ("update", lambda W, dW, eta: W + eta * dW),
    "eta that is left out": ("update", lambda W, dW, eta: W - dW),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_pass(name):
    verdict = check(name, RIGHT[name])
    assert verdict, verdict
    assert str(verdict).startswith(f"{name}: right. ")


@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_functions_are_told_the_first_node_and_by_how_much(mistake):
    name, function = WRONG[mistake]
    verdict = check(name, function)
    assert not verdict
    if mistake != "the transpose":  # whose shape is wrong already
        assert mistake in verdict.message
        found = re.search(
            r" is (\S+) with you and (\S+) in the engine, .*: off by (\S+)\.", str(verdict)
        )
        yours, engines, gap = map(float, found.groups())
        assert yours - engines == pytest.approx(gap, rel=0.01, abs=1e-5)


def test_the_first_wrong_node_is_named():
    def one_wrong(W, b, x):
        z, a = forward(W, b, x)
        if len(W) == 3:
            z[1][2] += 0.25
        return z, a

    verdict = check("forward", one_wrong)
    assert "z of node 2 in layer 2 is " in verdict.message
    assert "in a network 3-4-3-2: off by +0.25" in verdict.message

    def half_wrong(W, z, delta):
        right = RIGHT["hidden_delta"](W, z, delta)
        right[1:] *= 1 + 1e-4
        return right

    assert "delta of node 1 in layer 1" in check("hidden_delta", half_wrong).message


def test_functions_that_fail_are_told():
    def broken(W, b, x):
        raise ZeroDivisionError("oh")

    line = broken.__code__.co_firstlineno + 1
    assert check("forward", broken).message == f"it raised ZeroDivisionError: oh, in line {line}"
    assert check("forward", sys.exit).message.startswith("it raised TypeError: ")
    assert "it raised SystemExit: 3" in check("update", lambda W, dW, eta: sys.exit(3)).message
    huge = check("update", lambda W, dW, eta: [[10**400]])
    assert huge.message.startswith("W: expected numbers of shape (1, 1), got [[1000")
    assert "expected two lists" in check("forward", lambda W, b, x: 3).message
    assert "2 and 1" not in check("forward", lambda W, b, x: ([], [])).message
    assert "expected shape" in check("update", lambda W, dW, eta: 3).message
    assert "expected numbers" in check("update", lambda W, dW, eta: "x").message

    def careless(W, dW, eta):
        W -= eta * dW  # in place: copies were handed over
        return W

    assert check("update", careless)
    with pytest.raises(ValueError, match=r"exercise: .*'forward'"):
        check("foward", forward)
    with pytest.raises(TypeError, match="function: expected a function"):
        check("forward", 3)


def test_with_the_input_as_in_the_lecture():
    def with_input(W, b, x):
        z, a = forward(W, b, x)
        return [None, *z], [x, *a]

    assert check("forward", with_input)


@pytest.mark.slow(reason="trains")
def test_training_the_digits():
    def train(X, y):
        net = fcnn.Network((64, 30, 10))
        net.fit(X, y, epochs=20)
        return net.predict

    verdict = check("train", train)
    assert verdict, verdict
    poor = check("train", lambda X, y: lambda new: np.zeros(len(new), int))
    assert not poor
    assert re.search(r"the first that is wrong is number \d+, a \d taken for 0", poor.message)
    assert "expected a function" in check("train", lambda X, y: None).message
    # Texts are no digits, be they the right ones.
    texts = check("train", lambda X, y: lambda new: ["3"] * len(new))
    assert "expected digits as numbers, got " in texts.message
    assert "'3'" in texts.message
    nothing = check("train", lambda X, y: lambda new: [None] * len(new))
    assert "expected digits as numbers, got None" in nothing.message


def test_exercises_are_described():
    for one in described():
        assert one["signature"].startswith(one["name"])
        assert one["name"] in check.__doc__
    assert [one["name"] for one in described()] == list(EXERCISES)


def test_a_file_of_ones_own(tmp_path, capsys):
    from fcnn.cli.main import main

    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\ndef gradient(delta, a):\n    return np.outer(delta, a)\n"
        "def update(W, dW, eta):\n    return W + eta * dW\n"
    )
    assert main(["learn", "--check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "gradient: right. delta_k a_j on every edge."
    assert lines[1].startswith("update: not yet. W[0, 0] is ")
    assert lines[2] == f"Not in {path}: forward, output_delta, hidden_delta, train."
    path.write_text("import numpy as np\ndef update(W, dW, eta):\n    return W - eta * dW\n")
    assert main(["learn", "--check", str(path)]) == 0
    for text, message in (
        ("x = 1", "expected functions forward"),
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero, in line 2"),
        ("raise ValueError('mine')", "ValueError: mine, in line 1"), ("assert 0", "AssertionError"),
        ("def (", "SyntaxError: invalid syntax (mine.py, line 1)"),
        ("import sys\nsys.exit(0)", "SystemExit: 0, in line 2"),
    ):  # fmt: skip
        path.write_text(text)
        assert main(["learn", "--check", str(path)]) == 2
        err = " ".join(capsys.readouterr().err.split())
        assert err.startswith(f"fcnn learn: error: {path}: {message}"), err
    for option in (["--port", "5"], ["--no-browser"]):
        assert main(["learn", "--check", str(path), *option]) == 2
        assert f"{option[0]}: is for the page" in capsys.readouterr().err
    assert main(["learn", "--check", str(tmp_path / "none.py")]) == 2
    assert "--check: there is no file" in capsys.readouterr().err
    assert main(["learn", "--port", "70000", "--no-browser"]) == 2
    assert "--port: expected at most 65535" in capsys.readouterr().err


def test_a_file_imports_its_neighbours(tmp_path, monkeypatch, capsys):
    from fcnn.cli.main import main

    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom neighbour_of_mine import product\n"
        "def gradient(delta, a):\n    import other_of_mine\n    return product(delta, a)\n"
    )
    (tmp_path / "neighbour_of_mine.py").write_text("from numpy import outer as product")
    (tmp_path / "other_of_mine.py").write_text("")
    before = sys.path.copy()
    monkeypatch.chdir(tmp_path.parent)
    assert main(["learn", "--check", f"{tmp_path.name}/mine.py"]) == 0, capsys.readouterr().err
    assert sys.path == before
    for name in ("neighbour_of_mine", "other_of_mine"):
        del sys.modules[name]


def test_a_port_that_is_taken_is_named(capsys):
    from fcnn.cli.main import main

    with serve() as one:
        port = one.server_address[1]
        assert main(["learn", "--no-browser", "--port", str(port)]) == 2
    assert capsys.readouterr().err.startswith(f"fcnn learn: error: --port {port}: ")


@pytest.mark.slow(reason="starts the command")
@pytest.mark.skipif(sys.platform == "win32", reason="a script as browser")
def test_a_browser_that_stays_in_the_terminal_is_answered(tmp_path):
    """As lynx, which returns when it is left: the page must be served meanwhile."""
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\n"
        "print(urllib.request.urlopen(sys.argv[1], timeout=20).status, flush=True)\n"
    )
    browser.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "fcnn", "learn"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "BROWSER": f"{browser} %s"},
    )  # fmt: skip
    end = threading.Timer(25, process.kill)
    end.start()
    lines = [process.stdout.readline() for _ in range(3)]
    end.cancel()
    process.kill()
    process.wait(timeout=20)
    process.stdout.close()
    assert lines[2] == "200\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of another process")
def test_the_command_serves_until_it_is_interrupted():
    import signal

    process = subprocess.Popen(
        [sys.executable, "-m", "fcnn", "learn", "--no-browser"], stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    found = re.fullmatch(r"open http://127\.0\.0\.1:(\d+)/([\w-]{32,})/\n", line)
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
    connection.request("GET", f"/{found[2]}/")
    assert connection.getresponse().status == 200
    connection.close()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    process.stdout.close()


# --- In a notebook --------------------------------------------------------------------------------


def test_the_modules_become_one():
    from fcnn.learn._widget import bundle

    text = bundle()
    sources = json.loads(re.match(r"const sources = (.*);\n", text)[1])
    names = [name for name, _ in sources]
    assert names[-1] == "app.js"
    assert "main.js" not in names
    for i, (name, source) in enumerate(sources):
        folder = name.rpartition("/")[0]
        for used in re.findall(r'from\s*"\./([\w./-]+)"', source):
            assert (f"{folder}/{used}" if folder else used) in names[:i]


def test_a_widget_answers():
    pytest.importorskip("anywidget")
    widget = fcnn.learn.widget("full")
    sent = []
    widget.send = sent.append
    widget._handle_custom_msg({"id": 7, "name": "trace", "request": NET}, [])
    widget._handle_custom_msg({"id": 8, "name": "trace", "request": {}}, [])
    widget._handle_custom_msg("x", [])
    assert (sent[0]["id"], sent[0]["result"]["sizes"]) == (7, [2, 3, 2])
    assert sent[1] == {"id": 8, "error": "sizes: is missing"}
    assert widget.view == "full"
    with pytest.raises(ValueError, match="view: expected"):
        fcnn.learn.widget("everything")
