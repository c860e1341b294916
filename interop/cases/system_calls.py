"""System calls per message, as strace sees them; crates/sockets/tests/system_calls.rs counts on sockets in memory."""

import collections
import pathlib
import re

import wire
from harness import SETTINGS, Skip, case, eventually
from peers import RawServer
from programs import start

CALLS = pathlib.Path("calls.txt")
MESSAGES = 100
WAITING = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}


class Traced:
    """A server under strace, with a client that has had one answer already."""

    def __init__(self, *args):
        self.program = start("strace", "-f", "-qq", "-o", CALLS, SETTINGS["binary"],
                             "--stdout-announce-listening-ports", "--threads", "1", *args)
        try:
            port = self.program.port()
        except AssertionError:
            if b"PTRACE" in self.program.stderr.data:
                raise Skip("this environment does not allow tracing") from None
            raise
        self.client = wire.connect_websocket(port)
        self.exchange(1)
        eventually(lambda: self.counts()["sent"], "strace tells of the first answer")

    def exchange(self, batch, payload=b"x" * 32):
        """Sends so many messages in one write and waits until they have come back."""
        self.client.sock.sendall(wire.encode(wire.BINARY, payload, mask=True) * batch)
        taken = 0
        while taken < batch * len(payload):
            taken += len(self.client.read().payload)

    @staticmethod
    def counts():
        """Calls so far: those that take bytes, those that give some, waits for events, all others by name."""
        names = re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(.*| resumed>.*)= ", CALLS.read_text(), re.M)
        counts = collections.Counter()
        for name in names:
            received = name in ("read", "readv", "recvfrom", "recvmsg")
            sent = name in ("write", "writev", "sendto", "sendmsg")
            counts["received" if received else "sent" if sent else "waits" if name in WAITING else name] += 1
        return counts

    def cost(self, batch, sockets):
        before = self.counts()
        for _ in range(MESSAGES):
            self.exchange(batch)
        # strace tells of a call after it has happened.
        eventually(lambda: (self.counts() - before)["sent"] >= sockets * MESSAGES, "strace tells of the last answer")
        return self.counts() - before


def check(traced, sockets):
    """`sockets`: how many of ours a message passes on its way there and back."""
    for batch in (1, 64):
        cost = traced.cost(batch, sockets)
        print(f"{MESSAGES} x {batch} messages:", dict(cost))
        # What comes together may be parted by the kernel, now and then.
        slack = 0 if batch == 1 else MESSAGES // 2
        assert sockets * MESSAGES <= cost["received"] <= sockets * MESSAGES + slack, cost
        assert sockets * MESSAGES <= cost["sent"] <= sockets * MESSAGES + slack, cost
        assert cost["waits"] <= sockets * MESSAGES + slack + 2, cost
        assert not set(cost) - {"received", "sent", "waits"}, cost
    # Silence costs nothing; pings and timers are not asked for here.
    before = traced.counts()
    traced.client.expect_silence(1)
    assert not traced.counts() - before


@case("echo: one read and one write per message or batch, none while idle", needs=("strace",))
def system_calls_of_an_echo():
    check(Traced("-b", "ws-l:127.0.0.1:0", "mirror:"), 1)


def echo_bytes(peer):
    while data := peer.sock.recv(1 << 16):
        peer.sock.sendall(data)


@case("WebSocket to TCP and back: one read and one write per message or batch in each direction", needs=("strace",))
def system_calls_of_a_bridge():
    check(Traced("-b", "ws-l:127.0.0.1:0", RawServer(echo_bytes, websocket=False).tcp), 2)
