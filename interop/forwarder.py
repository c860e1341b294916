#!/usr/bin/env python3
"""What the two ends of a forwarded TCP connection see when one of them ends it, row by row.

    interop/forwarder.py --binary target/release/websocat            our column and direct connections, checked
    interop/forwarder.py --binary … fin-client                       rows whose names begin so
    interop/forwarder.py --binary … --write                          all columns, written into the book
    interop/forwarder.py --binary … --middle socat rst-server-idle   one column, only printed

Rows are {FIN, RST, vanish} × {client, server} × what goes on at that moment. Both real ends are driven from here, each on
a host of its own (hosts.py), with nothing, socat or the program under test between them. A row's expectation is what a
forwarder must do; for FIN and RST it is what two ends see that are connected directly. Every byte is compared. Exit
status 0 if all is as expected and the page has these very rows; 1 if not; 2 for a wrong call.
"""

import argparse
import os
import pathlib
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402
import hosts  # noqa: E402
import programs  # noqa: E402
from harness import Program  # noqa: E402

PAGE = HERE.parent / "doc/src/generated/forwarder.md"
NOTICE = "<!-- Made by `interop/forwarder.py --write`. -->\n\n"
MIDDLES = ("direct", "socat", "websocat")

# Longer than any of the time-outs below; reached only where nothing happens at all.
PATIENCE = 8.0
# The whole row, with start and end of the programs.
ROW = 40.0
# Nothing moved for so long: both directions are full. Too early a guess makes a row easier, not wrong.
FULL = 0.4
# Bytes that have to have arrived at both ends before a transfer counts as running, and that follow a half-close.
RUNNING, AFTER = 2 << 20, 1 << 20
WORDS = 6000

# Seconds: the first probe of an idle connection, between probes, and for data that nobody acknowledges.
IDLE, INTERVAL, RETRIES, USER = 1, 1, 2, 2

ENDINGS = ("fin", "rst", "vanish")
PHASES = {
    "idle": "idle",
    "words": "it has just said some last words",
    "transfer": "both are sending",
    "unread": "the other end does not read",
    "unreading": "it does not read itself",
}


class Row:
    def __init__(self, ending, side, phase):
        self.ending, self.side, self.phase = ending, side, phase
        self.other = "server" if side == "client" else "client"
        self.name = f"{ending}-{side}-{phase}"

    @property
    def what(self):
        verb = {"fin": "FIN of", "rst": "RST of", "vanish": "vanishing"}[self.ending]
        return f"{verb} the {self.side} | {PHASES[self.phase]}"

    @property
    def has_user_timeout(self):
        """TCP_USER_TIMEOUT also ends connections whose peer lives but reads nothing for so long, without telling it."""
        return self.phase != "unread"

    def expected(self):
        if self.ending == "fin":
            return f"{self.other}: all, FIN; then {self.side}: all, FIN"
        amount = "all" if self.phase in ("idle", "words") else "what came before"
        blind = ", told without reading" if self.phase == "unread" else ""
        return f"{self.other}: {amount}, RST{blind}"


ROWS = [Row(ending, side, phase) for ending in ENDINGS for side in ("client", "server") for phase in PHASES
        if ending == "rst" or phase != "words"]

BLOCK = random.Random(20).randbytes(65537)
CONTENT = BLOCK * 6


class End:
    """One real end. It sends and reads as it is told, and keeps what came of it."""

    def __init__(self, name, sock):
        sock.setblocking(False)
        self.name, self.sock = name, sock
        self.sent = self.received = 0
        self.limit = 0  # bytes to send in all
        self.reading = True
        self.ending = self.told = None  # told: without reading

    def finish(self):
        """No more than what was sent already, and its end."""
        self.limit = self.sent
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.ending = "own"

    def events(self):
        if self.ending == "own":
            return None
        wants = select.POLLIN if self.reading and not self.ending else 0
        return wants | (select.POLLOUT if self.sent < self.limit and not self.ending else 0)

    def step(self, event):
        """Returns whether bytes moved."""
        if event & (select.POLLERR | select.POLLHUP) and not self.reading:
            self.told = self.told or "RST"
            self.limit = self.sent
            return False
        moved = False
        try:
            if event & select.POLLOUT:
                at = self.sent % len(BLOCK)
                count = self.sock.send(CONTENT[at:at + min(self.limit - self.sent, 262144)])
                self.sent += count
                moved = count > 0
            if self.reading and event & (select.POLLIN | select.POLLERR | select.POLLHUP):
                data = self.sock.recv(262144)
                at = self.received % len(BLOCK)
                assert data == CONTENT[at:at + len(data)], f"wrong bytes at the {self.name} from {self.received} on"
                self.received += len(data)
                moved = True
                if not data:
                    self.ending = "FIN"
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            # Whoever writes learns of it first; what came before can still be read.
            self._rest()
            self.ending = "RST"
        except OSError as error:
            self.ending = error.strerror
        return moved

    def _rest(self):
        try:
            while data := self.sock.recv(262144):
                at = self.received % len(BLOCK)
                assert data == CONTENT[at:at + len(data)], f"wrong bytes at the {self.name} from {self.received} on"
                self.received += len(data)
        except OSError:
            pass


class Pair:
    def __init__(self, client, server):
        self.client, self.server = client, server
        self.ends = [client, server]

    def until(self, condition, seconds=PATIENCE, quiet=None):
        """Moves bytes until `condition`, or until nothing has moved for `quiet` seconds; False if it took too long."""
        deadline = time.monotonic() + seconds
        last = time.monotonic()
        while not condition():
            now = time.monotonic()
            if quiet and now - last > quiet:
                return True
            if now > deadline:
                return False
            poll = select.poll()
            by_fd = {}
            for end in self.ends:
                wanted = end.events()
                # An end that has learnt all it can would be reported for ever.
                if wanted is not None and not end.ending and not (end.told and not end.reading):
                    poll.register(end.sock, wanted)
                    by_fd[end.sock.fileno()] = end
            if not by_fd:
                return False
            for fd, event in poll.poll(50):
                if by_fd[fd].step(event):
                    last = time.monotonic()
        return True


def forwarder(row, middle, client_host, server_port, server_host):
    """Starts what is between; returns the address for the client and the program, if there is one."""
    target = f"{server_host.address}:{server_port}"
    if middle == "direct":
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        return (server_host.address, server_port), None
    listen = f"{client_host.router}:0"
    if middle == "socat":
        options = ""
        if row.ending == "vanish":
            options = f",keepalive,keepidle={IDLE},keepintvl={INTERVAL},keepcnt={RETRIES}"
            options += f",setsockopt-int=6:18:{USER * 1000}" if row.has_user_timeout else ""
        # Without -t it waits only half a second for the other direction.
        program = programs.start("socat", "-d", "-d", "-t60", "-b65536",
                                 f"TCP-LISTEN:0,bind={client_host.router}{options}", f"TCP:{target}{options}")
        found = program.stderr.wait(rb"listening on (?:LEN=\d+ )?AF=2 [\d.]+:(\d+)")
        return (client_host.router, int(found[1])), program
    words = ["-b", f"tcp-l:{listen}", f"tcp:{target}"]
    if row.ending == "vanish":
        words += ["--socket-keepalive-idletime-s", IDLE, "--socket-keepalive-interval-s", INTERVAL,
                  "--socket-keepalive-retries", RETRIES]
        words += ["--socket-user-timeout-s", USER] if row.has_user_timeout else []
    program = Program(*words)
    return (client_host.router, programs.listening_port(program)), program


def observe(row, middle):
    """Plays a row; returns what was seen at the ends, in words."""
    hosts.enter()
    at = {"client": hosts.Host(), "server": hosts.Host()}
    listener = at["server"].listen()
    address, program = forwarder(row, middle, at["client"], listener.getsockname()[1], at["server"])
    client = at["client"].connect(address)
    listener.settimeout(PATIENCE)
    server, _ = listener.accept()
    pair = Pair(End("client", client), End("server", server))
    this, other = getattr(pair, row.side), getattr(pair, row.other)

    for end in pair.ends:
        end.limit = 1000
    assert pair.until(lambda: this.received == other.received == 1000), "the first bytes do not arrive"
    if row.phase == "transfer":
        this.limit = other.limit = 1 << 40
        assert pair.until(lambda: min(this.received, other.received) > RUNNING), "the transfer does not start"
    elif row.phase == "unread":
        other.reading, this.limit = False, 1 << 40
        assert pair.until(lambda: False, 30, quiet=FULL), "it never fills up"
    elif row.phase == "unreading":
        this.reading, other.limit = False, 1 << 40
        assert pair.until(lambda: False, 30, quiet=FULL), "it never fills up"

    seen = {"fin": finish, "rst": reset, "vanish": reset}[row.ending](row, pair, this, other, at[row.side])
    if middle == "websocat" and program:
        # The session is over: only the listener is left, and what makes signals come in.
        for end in pair.ends:
            end.sock.close()
        harness.eventually(lambda: len([s for s in sockets_of(program) if s]) <= 1, "its sockets are closed")
    return seen


def sockets_of(program):
    """Its TCP sockets."""
    inodes = {link[8:-1] for link in program.descriptors() if link.startswith("socket:[")}
    lines = pathlib.Path(f"/proc/{program.pid}/net/tcp").read_text().splitlines()[1:]
    return [fields[9] for line in lines if (fields := line.split())[9] in inodes]


def amount(end, sender):
    return "all" if end.received == sender.sent else "what came before"


def finish(row, pair, this, other, _):
    """`this` ends its direction; afterwards `other` says more, and only then ends its own."""
    this.finish()
    if row.phase == "unread":
        # The direction that is not stuck goes on.
        other.limit = other.sent + AFTER
        if not pair.until(lambda: this.received == other.limit):
            return f"{row.side}: gets nothing of what the {row.other} says without reading"
        other.reading = True
    if not pair.until(lambda: other.ending):
        return f"{row.other}: nothing"
    seen = f"{row.other}: {amount(other, this)}, {other.ending}"
    if other.ending != "FIN":
        return seen
    # Half-close: this end still gets what is said now.
    other.ending = None
    other.reading = False
    this.reading = True
    other.limit = other.sent + AFTER
    if not pair.until(lambda: this.ending or other.told or other.sent == other.limit):
        return f"{seen}; then {row.side}: nothing"
    if not this.ending and not other.told:
        other.finish()
    pair.until(lambda: this.ending)
    return f"{seen}; then {row.side}: {amount(this, other)}, {this.ending or 'nothing'}"


def reset(row, pair, this, other, host):
    """`this` resets its connection or vanishes."""
    if row.ending == "vanish":
        host.vanish()
        this.ending = "own"
    else:
        if row.phase == "words":
            # A few segments: more than one read, and what any congestion window lets out at once.
            this.sock.send(CONTENT[this.sent:this.sent + WORDS])
            this.sent += WORDS
        this.reset()
    blind = ""
    if row.phase == "unread":
        pair.until(lambda: other.told)
        blind = ", told without reading" if other.told else ", not told before it reads"
        other.reading = True
    pair.until(lambda: other.ending)
    got = amount(other, this) if row.phase in ("idle", "words") else "what came before"
    return f"{row.other}: {got}, {other.ending or 'nothing'}{blind}"


# -- All rows ---------------------------------------------------------------------
class Job:
    """A row in a process of its own: it goes into namespaces and must not take anybody along."""

    def __init__(self, row, middle):
        self.row, self.middle = row, middle
        self.started = time.monotonic()
        self.output = tempfile.TemporaryFile()
        self.folder = tempfile.mkdtemp(prefix="forwarder-")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--binary", harness.SETTINGS["binary"], "--one", f"{middle}:{row.name}"],
            stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            cwd=self.folder)

    def done(self):
        if self.process.poll() is None and time.monotonic() - self.started < ROW:
            return False
        try:
            os.killpg(self.process.pid, 9)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return True

    def result(self):
        self.output.seek(0)
        lines = self.output.read().decode("utf-8", "replace").splitlines()
        seen = [line[6:] for line in lines if line.startswith("seen: ")]
        skipped = [line for line in lines if line.startswith("skip: ")]
        return (seen or skipped or ["failed: " + (lines[-1] if lines else "no output")])[0], lines


def play(waiting, jobs):
    """Runs pairs of row and middle; returns what was seen, by both their names."""
    waiting, running, seen = list(waiting), [], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(Job(*waiting.pop(0)))
        time.sleep(0.02)
        for job in [job for job in running if job.done()]:
            running.remove(job)
            seen[job.row.name, job.middle], lines = job.result()
            good = seen[job.row.name, job.middle] == job.row.expected()
            seconds = time.monotonic() - job.started
            print(f"{'ok  ' if good else 'DIFF'} {job.middle} {job.row.name} {seconds:.1f} s: "
                  f"{seen[job.row.name, job.middle]}", flush=True)
            if not good and job.middle == "websocat":
                print("".join(f"     | {line}\n" for line in lines[-4:]), end="", flush=True)
    return seen


def page(seen):
    text = NOTICE + "| what happens | meanwhile | must be seen | " + " | ".join(MIDDLES) + " |\n"
    text += "|---|---|---|" + "---|" * len(MIDDLES) + "\n"
    for row in ROWS:
        cells = ["the same" if seen[row.name, middle] == row.expected() else seen[row.name, middle]
                 for middle in MIDDLES]
        text += f"| {row.what} | {row.expected()} | {' | '.join(cells)} |\n"
    return text


def stale(text):
    """Rows that the page does not have as they are now, with our column as expected."""
    lines = text.splitlines()
    return [row.name for row in ROWS
            if not any(line.startswith(f"| {row.what} | {row.expected()} |") and line.endswith("| the same |")
                       for line in lines)]


def one(name):
    harness.usual_signals()
    middle, _, name = name.partition(":")
    row = next(row for row in ROWS if row.name == name)
    try:
        print(f"seen: {observe(row, middle)}", flush=True)
    except harness.Skip as reason:
        print(f"skip: {reason}", flush=True)
    os._exit(0)  # threads of hosts and programs are left as they are


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the program under test")
    parser.add_argument("--write", action="store_true", help="run all columns and write the page")
    parser.add_argument("--middle", choices=MIDDLES, help="only print this column")
    parser.add_argument("--jobs", type=int, default=4, help="rows at a time (default: 4)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help="starts of rows' names; default: all")
    args = parser.parse_args()
    harness.SETTINGS["binary"] = os.path.abspath(args.binary)
    if args.one:
        one(args.one)
    rows = [row for row in ROWS if not args.names or any(row.name.startswith(name) for name in args.names)]
    if not rows or args.write and args.names:
        parser.error("no such row, or --write with rows")
    middles = MIDDLES if args.write else (args.middle,) if args.middle else ("direct", "websocat")
    needs = ["ip"] + (["socat"] if "socat" in middles else [])
    try:
        programs.require(needs)
    except harness.Skip as reason:
        print(f"forwarder: SKIPPED, {reason}")
        return 0
    # Without a forwarder nobody finds out about a vanished peer: that is only for the page.
    wanted = [(row, middle) for row in rows for middle in middles
              if args.write or args.middle or middle != "direct" or row.ending != "vanish"]
    seen = play(wanted, args.jobs)
    again = [(row, middle) for row, middle in wanted
             if middle != "socat" and seen[row.name, middle] != row.expected()
             and not seen[row.name, middle].startswith("skip: ")]
    if again and args.jobs > 1 and not args.middle:
        print(f"once more, one at a time, for rows that a crowded machine was too slow for: {len(again)}", flush=True)
        second = play(again, 1)
        late = [(row, middle) for row, middle in again if second[row.name, middle] == row.expected()]
        for row, middle in late:
            print(f"forwarder: ONLY AT THE SECOND TRY {middle} {row.name}, before: {seen[row.name, middle]}", flush=True)
        # One that was played and went wrong does not become one that cannot be played here.
        seen |= {pair: what for pair, what in second.items() if not what.startswith("skip: ")}
    if args.middle:
        return 0
    if args.write:
        PAGE.write_text(page(seen))
    bad = [(row, middle) for row, middle in wanted
           if middle != "socat" and (middle != "direct" or row.ending != "vanish")
           and seen[row.name, middle] != row.expected()]
    skipped = [pair for pair in bad if seen[pair[0].name, pair[1]].startswith("skip: ")]
    failed = [pair for pair in bad if pair not in skipped]
    behind = [] if args.names or bad else stale(PAGE.read_text() if PAGE.exists() else "")
    for row, middle in skipped:
        print(f"forwarder: SKIPPED {middle} {row.name}")
    for row, middle in failed:
        print(f"forwarder: NOT AS EXPECTED {middle} {row.name}")
    print(f"forwarder: {len(wanted)} rows played, {len(failed)} failed, {len(skipped)} skipped")
    if behind:
        print(f"forwarder: the page lacks {', '.join(behind)}: run it with --write")
    return 1 if failed or behind else 0


if __name__ == "__main__":
    sys.exit(main())
