"""TCP to TCP: what a stalled side may cost, urgent data. Ends of connections are in forwarder.py, bad links in links.py."""

import collections
import contextlib
import os
import re
import select
import socket
import time

from harness import Server, case, eventually
from peers import IdleBackend

# Pairs that are stalled in both directions.
STALLED = 12
# What the kernel may hold on the way: sent and not acknowledged, arrived and not read, of two connections.
KERNEL = sum(int(open(f"/proc/sys/net/ipv4/tcp_{name}").read().split()[2]) for name in ("rmem", "wmem")) * 2
# Ours each way: what a pipe holds, or the largest buffer.
OURS = 1 << 20
LARGEST = 256 << 10


def private(pid):
    """Bytes of its own. Clean pages are those of the program's file: they are private while no other process runs it."""
    text = open(f"/proc/{pid}/smaps_rollup").read()
    return sum(int(n) for n in re.findall(r"^Private_(?:Dirty|Hugetlb):\s+(\d+) kB", text, re.M)) * 1024


def fill(socks):
    """Sends everywhere until nothing more is taken for a while; returns how much one of them has taken at most."""
    chunk, taken = bytes(1 << 18), dict.fromkeys(socks, 0)
    for sock in socks:
        sock.setblocking(False)
    while ready := select.select([], socks, [], 0.5)[1]:
        for sock in ready:
            with contextlib.suppress(BlockingIOError):
                taken[sock] += sock.send(chunk)
            assert taken[sock] < KERNEL + 2 * OURS, f"{taken[sock]} bytes taken, nobody reads them"
    return max(taken.values())


def stalled(words):
    backend = IdleBackend()
    server = Server("-b", "--threads", "2", *words(f"tcp:127.0.0.1:{backend.port}"))
    port = server.port()

    def pair():
        return socket.create_connection(("127.0.0.1", port)), backend.accept().sock

    # What the first ones need may stay: the workers' pools.
    pairs = [pair(), pair()]
    fill([sock for pair in pairs for sock in pair])
    steady(server.pid)
    base, before = private(server.pid), pipes(server.pid)
    pairs += [pair() for _ in range(STALLED)]
    taken = fill([sock for pair in pairs for sock in pair])
    steady(server.pid)
    grown, spliced = private(server.pid) - base, pipes(server.pid) - before
    print(f"at most {taken} bytes taken one way; {STALLED} stalled pairs have {spliced} pipes and {grown} bytes of memory")
    # Where the user's quota of pipes is used up, by others perhaps, a buffer takes the place of one.
    most = STALLED * (48 << 10) + max(0, 2 * STALLED - spliced) * LARGEST
    assert grown < most, f"{grown} bytes for {STALLED} stalled pairs, more than {most}"
    return spliced


def pipes(pid):
    """Pipes that it holds both ends of."""
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return sum(count == 2 for name, count in collections.Counter(links).items() if name.startswith("pipe:"))


def steady(pid):
    """Waits until the program does nothing any more."""
    last = None

    def rests():
        nonlocal last
        before, last = last, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11:13]
        time.sleep(0.1)
        return before == last

    eventually(rests, "it rests", 30)


@case("a pair that is stalled both ways holds what the kernel holds and one pipe each way, and no memory", 60)
def stalled_pairs_that_are_spliced():
    stalled(lambda backend: ["tcp-l:127.0.0.1:0", backend])


@case("the same through buffers: one each way of at most 256 KiB", 60)
def stalled_pairs_that_are_copied():
    # Limited reads do not come from a socket that could be spliced.
    spliced = stalled(lambda backend: ["--read-buffer-limit", "1073741824", "read_chunk_limiter:tcp-l:127.0.0.1:0",
                                       f"read_chunk_limiter:{backend}"])
    assert not spliced


@case("urgent data: the urgent byte is left out or forwarded in its place, what is before and behind it goes on")
def urgent_data():
    for words, byte in ([], b""), (["--socket-out-of-band-inline"], b"!"):
        backend = IdleBackend()
        server = Server("-b", *words, "tcp-l:127.0.0.1:0", f"tcp:127.0.0.1:{backend.port}")
        client = socket.create_connection(("127.0.0.1", server.port()))
        other = backend.accept()
        for _ in range(20):
            client.sendall(b"before")
            client.send(b"!", socket.MSG_OOB)
            client.sendall(b"behind")
            expected = b"before" + byte + b"behind"
            assert other.read_exactly(len(expected)) == expected
            # A mark before anything else.
            client.send(b"!", socket.MSG_OOB)
            client.sendall(b"behind")
            expected = byte + b"behind"
            assert other.read_exactly(len(expected)) == expected
