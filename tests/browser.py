"""Headless browsers: Chromium by its DevTools protocol and a pipe, Firefox by WebDriver BiDi."""

import base64
import contextlib
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

# Seconds to an answer. A page that is being left may give none, and who waits for it without an end
# hangs, and with him all tests.
ANSWERED = 25


class Browser:
    """One browser with one page; its complaints are in `errors`, what it asks for in `requests`."""

    names: tuple[str, ...]  # of its program, the first that there is
    package: str  # of Debian's

    def __init__(self):
        self.process = None
        self.errors, self.requests = [], []
        self.folder = tempfile.TemporaryDirectory(
            prefix="fcnn-browser-", ignore_cleanup_errors=True
        )

    @classmethod
    def path(cls):
        return next(filter(None, map(shutil.which, cls.names)), None)

    @classmethod
    def missing(cls):
        """Return why it cannot be driven here, or None."""
        if cls.path() is None:
            return f"no browser ({', '.join(cls.names)}): apt-get install {cls.package}"
        return None

    def wait(self, condition, seconds=90):
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        unanswered = None
        while time.monotonic() < end:
            try:
                if found := self.run(condition):
                    return found
            except (RuntimeError, TimeoutError) as error:  # the page that was asked is left
                unanswered = error
            time.sleep(0.03)
        raise AssertionError(f"not within {seconds} s: {condition}; {self.errors}, {unanswered}")

    def close(self):
        if self.process is not None:
            self._end()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()


class Chromium(Browser):
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    package = "chromium"
    bad = ("error", "warning", "assert")
    keys = {  # noqa: RUF012
        "Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "ArrowLeft": (37, ""),
        "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, ""), "Home": (36, ""),
        "End": (35, ""),
    }  # fmt: skip

    def begin(self):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        command = [
            self.path(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--disable-sync",
            "--remote-debugging-pipe", f"--user-data-dir={self.folder.name}", "about:blank",
        ]  # fmt: skip
        # The browser reads from 3 and writes to 4: another Python moves them there.
        move = (
            "import fcntl, os, sys; a, b = (fcntl.fcntl(int(v), fcntl.F_DUPFD, 10) for v in "
            "sys.argv[1:3]); os.dup2(a, 3); os.dup2(b, 4); os.execv(sys.argv[3], sys.argv[3:])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", move, str(theirs_in), str(theirs_out), *command],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb", buffering=0), os.fdopen(ours_out, "wb", 0)
        self._rest, self._next, self.session = b"", 0, None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network", "Inspector"):
            self.send(f"{domain}.enable")

    def _end(self):
        self.session = None
        with contextlib.suppress(OSError, EOFError):
            self.send("Browser.close")
        self._in.close()
        self._out.close()

    def _message(self, end):
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError
            piece = self._in.read(1 << 20)
            if not piece:
                raise EOFError("the browser went away")
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def send(self, method, **parameters):
        """Send a command and return its result; take note of what happens meanwhile."""
        self._next += 1
        number = self._next
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self._out.write(json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWERED
        while True:
            try:
                found = self._message(end)
            except TimeoutError:
                raise TimeoutError(f"no answer within {ANSWERED} s: {message}") from None
            if found.get("id") == number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]
            self._note(found)

    def _note(self, event):
        name, values = event.get("method"), event.get("params", {})
        if name == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            self.errors.append(f"exception: {text}")
        elif name == "Runtime.consoleAPICalled" and values["type"] in self.bad:
            self.errors.append(f"console: {[one.get('value') for one in values['args']]}")
        elif name == "Log.entryAdded" and values["entry"]["level"] in self.bad:
            self.errors.append(f"log: {values['entry']['text']} {values['entry'].get('url', '')}")
        elif name == "Inspector.targetCrashed":  # it answers no more
            raise EOFError("the page crashed")
        elif name == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])

    def run(self, script):
        """Return what an expression comes to, awaited."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True,
            userGesture=True,
        )  # fmt: skip
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"].get("exception", {}).get("description"))
        return found["result"].get("value")

    def open(self, url, width=1280, height=900, dark=False):
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=False,
        )  # fmt: skip
        self.send("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url="about:blank")
        self.errors.clear()
        self.requests.clear()
        self.send("Page.navigate", url=url)

    def key(self, key, *, shift=False):
        code, text = self.keys.get(key, (ord(key.upper()[0]), key))
        shared = {
            "key": key, "code": "Space" if key == " " else key,
            "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0,
        }  # fmt: skip
        extra = {"text": text} if text else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **shared, **extra)
        self.send("Input.dispatchKeyEvent", type="keyUp", **shared)

    def screenshot(self, path):
        """Write the whole page, however long it is."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))


class Firefox(Browser):
    names = ("firefox-esr", "firefox")
    package = "firefox-esr"
    keys = {  # noqa: RUF012  # WebDriver's
        "Tab": "\ue004", "Enter": "\ue007", "ArrowLeft": "\ue012", "ArrowUp": "\ue013",
        "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Home": "\ue011", "End": "\ue010",
    }  # fmt: skip

    is_dark = False

    @classmethod
    def missing(cls):
        if importlib.util.find_spec("websockets") is None:
            return "no package websockets, by which Firefox is driven: pip install 'fcnn[test-all]'"
        return super().missing()

    def begin(self):
        from websockets.sync.client import connect

        profile = Path(self.folder.name, "dark" if self.is_dark else "light")
        profile.mkdir(exist_ok=True)
        preferences = {
            "layout.css.prefers-color-scheme.content-override": 0 if self.is_dark else 1,
            "ui.useOverlayScrollbars": 1, "ui.prefersReducedMotion": 0,
        }  # fmt: skip
        lines = [f'user_pref("{name}", {value});' for name, value in preferences.items()]
        (profile / "user.js").write_text("\n".join(lines))
        # It writes its port there when it listens.
        found = profile / "WebDriverBiDiServer.json"
        found.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [self.path(), "--headless", "--no-remote", "--profile", str(profile),
             "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"MOZ_CRASHREPORTER_DISABLE": "1"},
        )  # fmt: skip
        end = time.monotonic() + 90
        while not (found.is_file() and found.read_text().endswith("}")):
            assert self.process.poll() is None, "Firefox ended before it listened"
            assert time.monotonic() < end, "Firefox does not listen"
            time.sleep(0.05)
        self._next, self._open = 0, contextlib.ExitStack()
        port = json.loads(found.read_text())["ws_port"]
        self._socket = self._open.enter_context(
            connect(f"ws://127.0.0.1:{port}/session", max_size=None)
        )
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        # In the tab that it begins with the address has the focus, and keys press no button.
        self.context = self.send("browsingContext.create", type="tab")["context"]

    def _end(self):
        with contextlib.suppress(OSError, EOFError, RuntimeError, AttributeError):
            self.send("browser.close")
            self._open.close()

    def send(self, method, **parameters):
        """Send a command and return its result; take note of what happens meanwhile."""
        self._next += 1
        number = self._next
        message = json.dumps({"id": number, "method": method, "params": parameters})
        self._socket.send(message)
        end = time.monotonic() + ANSWERED
        while True:
            try:
                found = json.loads(self._socket.recv(max(end - time.monotonic(), 0)))
            except TimeoutError:
                raise TimeoutError(f"no answer within {ANSWERED} s: {message}") from None
            if found.get("id") == number:
                if found["type"] == "error":
                    raise RuntimeError(f"{method}: {found['error']}: {found['message']}")
                return found["result"]
            self._note(found)

    def _note(self, event):
        name, values = event.get("method"), event.get("params", {})
        if name == "log.entryAdded" and values["level"] in ("error", "warn"):
            self.errors.append(f"{values['type']}: {values['text']}")
        elif name == "network.beforeRequestSent" and values["context"] == self.context:
            self.requests.append(values["request"]["url"])

    def run(self, script):
        """Return what an expression comes to, awaited."""
        found = self.send(
            "script.evaluate", expression=script, target={"context": self.context},
            awaitPromise=True, userActivation=True,
        )  # fmt: skip
        if found["type"] == "exception":
            raise AssertionError(found["exceptionDetails"]["text"])
        return _plain(found["result"])

    def open(self, url, width=1280, height=900, dark=False):
        if dark != self.is_dark:  # which it takes from its preferences when it begins
            self._end()
            self.process.wait(timeout=90)
            self.is_dark = dark
            self.begin()
        self.send(
            "browsingContext.setViewport", context=self.context, devicePixelRatio=1,
            viewport={"width": width, "height": height},
        )  # fmt: skip
        self._go("about:blank")
        self.errors.clear()
        self.requests.clear()
        self._go(url)

    def _go(self, url):
        self.send("browsingContext.navigate", context=self.context, url=url, wait="interactive")

    def key(self, key, *, shift=False):
        value = self.keys.get(key, key)
        held = [{"type": "keyDown", "value": "\ue008"}] * shift
        freed = [{"type": "keyUp", "value": "\ue008"}] * shift
        press = [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self.send(
            "input.performActions", context=self.context,
            actions=[{"type": "key", "id": "keyboard", "actions": [*held, *press, *freed]}],
        )  # fmt: skip

    def screenshot(self, path):
        """Write the whole page, however long it is."""
        found = self.send(
            "browsingContext.captureScreenshot", context=self.context, origin="document"
        )
        Path(path).write_bytes(base64.b64decode(found["data"]))


def _plain(value):
    """Return a value of WebDriver as Python's."""
    kind = value["type"]
    if kind in ("null", "undefined"):
        return None
    if kind == "number":
        return float(value["value"]) if isinstance(value["value"], str) else value["value"]
    if kind == "array":
        return [_plain(one) for one in value["value"]]
    if kind == "object":
        return {key: _plain(one) for key, one in value["value"]}
    return value.get("value")


ENGINES = {"chromium": Chromium, "firefox": Firefox}


@contextlib.contextmanager
def browser(engine):
    """Give a browser of an engine; where it is absent skip, and say what is to be installed."""
    if reason := ENGINES[engine].missing():
        pytest.skip(reason)
    one = ENGINES[engine]()
    try:
        one.begin()
        yield one
    finally:
        one.close()
