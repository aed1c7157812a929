"""A headless Chromium, driven by its DevTools protocol through a pipe: no package, no port."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATH = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = f"no browser ({', '.join(NAMES)}): apt-get install chromium"

BAD = ("error", "warning", "assert")
KEYS = {
    "Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "ArrowLeft": (37, ""), "ArrowUp": (38, ""),
    "ArrowRight": (39, ""), "ArrowDown": (40, ""), "Home": (36, ""), "End": (35, ""),
}  # fmt: skip


class Browser:
    """One browser with one page; what it complains of is kept in `errors`."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(
            prefix="fcnn-browser-", ignore_cleanup_errors=True
        )
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        command = [
            PATH, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
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
        self._rest, self._next = b"", 0
        self.errors, self.session = [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.requests = []

    def close(self):
        try:
            self.session = None
            self.send("Browser.close")
        except (OSError, EOFError):
            pass
        self._in.close()
        self._out.close()
        self.process.wait(timeout=30)
        self.folder.cleanup()

    def _message(self):
        while b"\0" not in self._rest:
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
        while True:
            found = self._message()
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
        elif name == "Runtime.consoleAPICalled" and values["type"] in (
            "error",
            "warning",
            "assert",
        ):
            self.errors.append(f"console: {[one.get('value') for one in values['args']]}")
        elif name == "Log.entryAdded" and values["entry"]["level"] in BAD:
            self.errors.append(f"log: {values['entry']['text']} {values['entry'].get('url', '')}")
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

    def wait(self, condition, seconds=90):
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(condition):
                return found
            time.sleep(0.03)
        raise AssertionError(f"not within {seconds} s: {condition}; {self.errors}")

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
        code, text = KEYS.get(key, (ord(key.upper()[0]), key))
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
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(found["data"]))
