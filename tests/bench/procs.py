"""What the benchmarks share: Solder and the scripted client as processes, figures, the machine."""

import json
import os
import pathlib
import platform
import queue
import re
import shutil
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 120  # seconds that anything may take
QUIET = 0.3  # without a response for so long, the start is over


class Failed(Exception):
    pass


# ---- Processes ----

class Lines:
    """A program that prints lines of JSON, and these as they come."""

    def __init__(self, argv, raw):
        self.events = queue.Queue()
        self.raw = open(raw, "w")
        self.proc = subprocess.Popen([str(a) for a in argv], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.proc.stdout:
            self.raw.write(line)
            self.events.put(json.loads(line))

    def next(self, timeout):
        try:
            return self.events.get(timeout=timeout)
        except queue.Empty:
            return None

    def first(self, fits, what):
        """The first event that FITS; those before it are forgotten."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            e = self.next(1)
            if e and fits(e):
                return e
        raise Failed(f"no {what} within {LIMIT} s")

    def end(self):
        self.proc.terminate()
        self.proc.wait()
        self.reader.join()
        self.raw.close()


class Client(Lines):
    """The scripted client."""

    def __init__(self, program, socket, raw):
        super().__init__([program, "--addr", f"unix:{socket}", "--names=false"], raw)

    def response(self, kind, since):
        """The first response of KIND that came after time SINCE."""
        return self.first(lambda e: e["event"] == "response" and e["type"] == kind and e["t"] > since,
                          f"{kind} response")

    def quiet(self, seconds=QUIET):
        """Waits until nothing comes any more; returns all that came."""
        out = []
        while True:
            e = self.next(seconds)
            if e is None:
                return out
            out.append(e)


class Solder:
    def __init__(self, program, config, folder, log, *more):
        self.socket = folder / "xds.sock"
        self.admin = folder / "admin.sock"
        self.argv = [program, "run", "--config", config, "--xds", f"unix:{self.socket}", "--admin",
                     f"unix:{self.admin}", "--state-dir", folder / "state", "--log-format", "json", *more]
        self.log = open(log, "w")
        self.proc = None

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("SOLDER_")}
        at = time.monotonic_ns()
        self.proc = subprocess.Popen(list(map(str, self.argv)), stdin=subprocess.DEVNULL, stdout=self.log,
                                     stderr=self.log, env=env)
        return at

    def cpu_ms(self):
        """CPU time of all threads so far."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.proc.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e6

    def memory_mib(self):
        out = {}
        for line in pathlib.Path(f"/proc/{self.proc.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in ("VmRSS", "RssAnon", "VmHWM"):
                out[key] = round(int(value.split()[0]) / 1024, 1)
        return out

    def plugin(self):
        """What shape_route of the only plugin did so far."""
        said = subprocess.run([*map(str, (self.argv[0], "describe", "plugin", "bench")), "--admin", f"unix:{self.admin}"],
                              capture_output=True, text=True).stdout
        m = re.search(r"shape_route: (\d+) calls, (\d+) errors, .* mean (\d+)us", said)
        if not m or m.group(2) != "0":
            raise Failed(f"the plugin: {said}")
        return {"calls": int(m.group(1)), "meanMicros": int(m.group(3))}

    def end(self):
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            self.proc.wait(LIMIT)
        self.log.close()


# ---- Programs of Go ----

def build_tool(name, folder):
    """Builds tests/tools/NAME into FOLDER; returns the program."""
    if not shutil.which("go"):
        raise Failed(f"there is no Go to build tests/tools/{name} with")
    program = folder / name
    r = subprocess.run(["go", "build", "-o", program, "."], cwd=ROOT / "tests/tools" / name, stdin=subprocess.DEVNULL)
    if r.returncode:
        raise Failed(f"tests/tools/{name} cannot be built")
    return program


# ---- Figures ----

def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def machine():
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": platform.platform(), "cpus": os.cpu_count(),
            "load": os.getloadavg(),
            "cpu": next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")}
