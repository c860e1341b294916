"""What a case needs to start the program under test and to watch it.

A case is a function with `@case`; run.py gives each one a process and session of its own, and kills whatever is left of
it afterwards. So cases clean up nothing, and a case that hangs takes nothing else with it.

Nothing here sleeps to get an order of events: it is always waited for the event itself, with an upper bound that only a
hang can reach.
"""

import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time

# Upper bound for things that happen at once or after the default linger time (1 s). It is below the default drain time
# (10 s), so that an end which only that timer brought does not pass for one that came at once.
SOON = 8.0

# The hard limit of a case that does not state its own.
CASE_TIMEOUT = 30.0

# Peers and programs by others would ask a proxy even for 127.0.0.1.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

# A name that does not exist is looked up once, wherever that goes: nobody may answer at all.
LOOK_UP_ONCE = {"RES_OPTIONS": "timeout:2 attempts:1", "LOCALDOMAIN": "invalid"}

CASES = {}
SETTINGS = {"binary": None}

# Programs and servers of this case. Forgotten ones would have their pipes and sockets closed by the garbage collector.
KEPT = []


def usual_signals():
    """Signals that whoever started this had ignored (nohup, a job in the background) have their effect again: what is
    started here would inherit it."""
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class Skip(Exception):
    """Raised by a case that cannot run here; the text says why."""


class Case:
    def __init__(self, function, row, timeout, needs):
        self.name = function.__name__
        self.function = function
        self.row = row
        self.subject = function.__module__.rpartition(".")[2]
        self.timeout = timeout
        self.needs = needs


def case(row, timeout=CASE_TIMEOUT, needs=()):
    """Makes a function a case.

    `row` is the requirement it stands for, in a few words; `needs` names the programs by others that it starts.
    """

    def register(function):
        if function.__name__ in CASES:
            raise ValueError(f"two cases are called {function.__name__}")
        CASES[function.__name__] = Case(function, row, timeout, needs)
        return function

    return register


def eventually(condition, what, seconds=SOON):
    """Waits until `condition()` is true: for what has no event that could be waited for, such as entries in /proc."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Output:
    """What one stream of the program has printed so far, read by a thread of its own."""

    def __init__(self, fd, name):
        self.name = name
        self.data = b""
        self.ended = False
        self.changed = threading.Condition()
        threading.Thread(target=self._collect, args=(fd,), daemon=True).start()

    def _collect(self, fd):
        while True:
            try:
                part = os.read(fd, 65536)
            except OSError:  # a terminal whose other side is gone
                part = b""
            with self.changed:
                self.data += part
                self.ended = not part
                self.changed.notify_all()
            if not part:
                return

    def wait(self, pattern, seconds=SOON):
        """Returns the match of a regular expression (bytes) as soon as it is there."""
        with self.changed:
            self.changed.wait_for(lambda: re.search(pattern, self.data) or self.ended, seconds)
            found = re.search(pattern, self.data)
        if not found:
            raise AssertionError(f"{self.name} has no {pattern!r}, but {self.data[-500:]!r}")
        return found

    def all(self, seconds=SOON):
        """Everything, once the stream has ended."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended, seconds):
                raise AssertionError(f"{self.name} stays open; so far {self.data[-500:]!r}")
            return self.data


class Program:
    """The program under test, running.

    stdin: "pipe" (open until `close_stdin`), "null", "closed", "tty", or bytes to be read followed by the end of input.
    stdout, stderr: "pipe", "tty" or a file descriptor. All that say "tty" share one terminal.
    pid1: run as process 1 of a PID namespace. pass_fds: descriptors of ours that it gets, with the same numbers.
    """

    def __init__(
        self, *args, stdin="pipe", stdout="pipe", stderr="pipe", env=None, pid1=False, binary=None, pass_fds=()
    ):
        KEPT.append(self)
        argv = [binary or SETTINGS["binary"], *map(str, args)]
        if pid1:
            argv = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *argv]
        if stdin == "closed":
            argv = ["sh", "-c", 'exec "$@" <&-', "sh", *argv]
        print("$", *argv, flush=True)
        terminal = side = None
        if "tty" in (stdin, stdout, stderr):
            terminal, side = pty.openpty()
            quiet = termios.tcgetattr(side)
            quiet[3] &= ~termios.ECHO  # what is typed is not what the program prints
            termios.tcsetattr(side, termios.TCSANOW, quiet)

        def plain(stream):
            special = {"pipe": subprocess.PIPE, "null": subprocess.DEVNULL, "closed": subprocess.DEVNULL, "tty": side}
            return special.get(stream, stream)

        feed = stdin if isinstance(stdin, bytes) else None
        self.process = subprocess.Popen(
            argv,
            stdin=plain("pipe" if feed is not None else stdin),
            stdout=plain(stdout),
            stderr=plain(stderr),
            env=environment(env),
            pass_fds=pass_fds,
        )
        self.pid1 = pid1
        self.terminal = None
        if terminal is not None:
            os.close(side)
            self.terminal = Output(terminal, "the terminal")
            self.typing = terminal
        self.stdout = Output(self.process.stdout.fileno(), "stdout") if stdout == "pipe" else self.terminal
        self.stderr = Output(self.process.stderr.fileno(), "stderr") if stderr == "pipe" else self.terminal
        if feed is not None:
            threading.Thread(target=self._feed, args=(feed,), daemon=True).start()

    def _feed(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def close_stdin(self):
        self.process.stdin.close()

    @property
    def pid(self):
        """Of the program itself, also when it is process 1 elsewhere."""
        if not self.pid1:
            return self.process.pid
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        eventually(lambda: open(path).read().split(), "a child of unshare")
        return int(open(path).read().split()[0])

    def signal(self, number):
        os.kill(self.pid, number)

    def running(self):
        return self.process.poll() is None

    def status(self, seconds=SOON):
        """The exit status as a shell would show it; 128 + n after signal n."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s; {self._so_far()}") from None
        return 128 - code if code < 0 else code

    def expect(self, status, seconds=SOON):
        """Waits for the end and compares the exit status."""
        got = self.status(seconds)
        if got != status:
            raise AssertionError(f"exit status {got}, expected {status}; {self._so_far()}")

    def _so_far(self):
        streams = {output.name: output for output in (self.stdout, self.stderr) if output}
        return ", ".join(f"{name}: {output.data[-400:]!r}" for name, output in streams.items())

    def message(self):
        """The one line on stderr, as text."""
        text = self.stderr.all().decode()
        lines = text.splitlines()
        if len(lines) != 1:
            raise AssertionError(f"{len(lines)} lines on stderr instead of one: {text!r}")
        return lines[0]

    def expect_message(self, *parts):
        """One line on stderr which contains all the parts, upper and lower case being the same."""
        line = self.message()
        missing = [part for part in parts if part.lower() not in line.lower()]
        if missing:
            raise AssertionError(f"{missing} not in the message {line!r}")

    def ports(self, count=1):
        """(address, port) of the listening sockets, as announced on stdout by --stdout-announce-listening-ports."""
        line = rb"LISTEN proto=(?:tcp|udp),ip=([^,\s]+),port=(\d+)\r?\n"
        self.stdout.wait(b"(?s)" + b".*".join([line] * count))
        return [(ip.decode(), int(port)) for ip, port in re.findall(line, self.stdout.data)]

    def port(self):
        return self.ports()[0][1]

    def sockets(self):
        """Number of sockets among the descriptors it has open."""
        return sum(link.startswith("socket:") for link in self.descriptors())

    def descriptors(self):
        folder, links = f"/proc/{self.pid}/fd", []
        for name in os.listdir(folder):
            try:
                links.append(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:  # closed meanwhile
                pass
        return links


class Server(Program):
    """The program as a server that announces its port; its standard input stays open."""

    def __init__(self, *args, **options):
        super().__init__("--stdout-announce-listening-ports", *args, **options)

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port()}/"


def environment(extra=None):
    """Ours without what would change the program's behaviour."""
    unwanted = ("RUST_LOG", "RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_COLOR", "CLICOLOR_FORCE", "LISTEN_FDS",
                "LISTEN_FDNAMES", "LISTEN_PID", "SSLKEYLOGFILE")
    kept = {key: value for key, value in os.environ.items() if key not in unwanted}
    return {**kept, **LOOK_UP_ONCE, "TERM": "dumb", **(extra or {})}


def option_exists(name):
    """Whether the help text has a line for this option."""
    text = subprocess.run([SETTINGS["binary"], "--help"], capture_output=True, text=True, timeout=60).stdout
    return re.search(rf"^\s*(-\w, )?{re.escape(name)}(?![\w-])", text, re.M) is not None


TERM, INT = signal.SIGTERM, signal.SIGINT
