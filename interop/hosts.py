"""Hosts of a case's own: network namespaces joined to this process's by pairs of virtual interfaces.

`enter` takes the calling process into a user and network namespace of its own, where it is the router and where the
program under test is started. Each `Host` is one more network namespace, held by a thread; sockets that are made in it
stay in it, whoever uses them afterwards. Nothing needs root, nothing is left when the process ends.

Links can vanish (`Host.vanish`), lose packets (`Host.lose`, nft) and delay them (`Relay`, from userspace: the kernels
that this runs on have no netem).

    interop/hosts.py            whether all that can be done here: 0 if so, 1 with the reason if not
"""

import ctypes
import functools
import os
import queue
import socket
import subprocess
import threading
import time

from harness import KEPT, Skip
from programs import path

NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def unshare(flags):
    if LIBC.unshare(flags):
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")


def impossible(why):
    """What to raise where the kernel does not do it: a failure, unless leaving cases out is allowed."""
    return Skip(why) if os.environ.get("WEBSOCAT_ALLOW_SKIP") == "1" else AssertionError(why)


def enter():
    """Into namespaces of our own; threads must not have been started."""
    uid, gid = os.getuid(), os.getgid()
    try:
        unshare(NEWUSER | NEWNET | NEWNS)
    except OSError as error:
        raise impossible(str(error)) from error
    for file, text in ("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"):
        with open(f"/proc/self/{file}", "w") as to:
            to.write(text)
    ip("link set lo up")


def ip(words):
    """The program `ip`, in the network namespace of the calling thread."""
    run("ip", *words.split())


def nft(text):
    run("nft", "-f", "-", stdin=text)


def run(name, *words, stdin=None):
    done = subprocess.run([path(name), *words], input=stdin, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise impossible(f"{name} {' '.join(words)} {stdin or ''}: {done.stderr.strip()}")


@functools.cache
def thread_id_path(tid):
    return f"/proc/{os.getpid()}/task/{tid}/ns/net"


class Host:
    """Another machine, seen from here: `address` is its own, `router` is ours on the link to it."""

    count = 0

    def __init__(self):
        KEPT.append(self)
        Host.count += 1
        number = Host.count
        self.address, self.router = f"10.7.{number}.2", f"10.7.{number}.1"
        self.interface = f"to{number}"
        self.calls = queue.Queue()
        ready = queue.Queue()
        threading.Thread(target=self._live, args=(ready,), daemon=True).start()
        tid = ready.get()
        if isinstance(tid, OSError):
            raise tid
        ip(f"link add {self.interface} type veth peer name eth0 netns {thread_id_path(tid)}")
        ip(f"addr add {self.router}/24 dev {self.interface}")
        ip(f"link set {self.interface} up")
        self(ip, "link set lo up")
        self(ip, f"addr add {self.address}/24 dev eth0")
        self(ip, "link set eth0 up")
        self(ip, f"route add default via {self.router}")
        self.number = number

    def with_ipv6(self):
        """Gives both ends of the link IPv6 addresses, at once: nobody else can have them."""
        self.address_v6, self.router_v6 = f"fd07:{self.number}::2", f"fd07:{self.number}::1"
        for at, interface, last in (self, "eth0", 2), (lambda call, *words: call(*words), self.interface, 1):
            at(ip, f"link set {interface} addrgenmode none")
            for prefix in f"fd07:{self.number}::", "fe80::":
                at(ip, f"addr add {prefix}{last}/64 dev {interface} nodad")
        return self

    def _live(self, ready):
        try:
            unshare(NEWNET)
        except OSError as error:
            return ready.put(error)
        ready.put(threading.get_native_id())
        while True:
            function, arguments, answer = self.calls.get()
            try:
                answer.put((function(*arguments), None))
            except Exception as error:  # raised again by the caller
                answer.put((None, error))

    def __call__(self, function, *arguments):
        """Runs a function on this host, one at a time."""
        answer = queue.Queue()
        self.calls.put((function, arguments, answer))
        value, error = answer.get()
        if error:
            raise error
        return value

    def listen(self):
        """A TCP listener on a free port."""
        return self(socket.create_server, (self.address, 0))

    def connect(self, address):
        """A TCP connection from here, of which nothing is buffered more than the system likes."""
        return self(socket.create_connection, address, 20)

    def vanish(self):
        """From one moment to the next nothing goes to this host or comes from it, and nobody is told."""
        self(ip, "link set eth0 down")

    def lose(self, percent):
        """Of what this host is sent and of what it sends, so many packets of 100 get lost."""
        self(nft, f"""table inet loss {{
            chain arriving {{ type filter hook input priority 0; numgen random mod 100 < {percent} drop; }}
            chain leaving {{ type filter hook output priority 0; numgen random mod 100 < {percent} drop; }}
        }}""")

    def limit(self, rate, burst="16k", latency="50ms"):
        """What this host sends leaves at no more than `rate`; more than `latency` of it is dropped."""
        self(run, "tc", *f"qdisc add dev eth0 root tbf rate {rate} burst {burst} latency {latency}".split())


class Relay:
    """A relay of TCP in this process that hands bytes on `delay` seconds after they came, up to `window` under way."""

    def __init__(self, host, to, delay, window=1 << 20):
        KEPT.append(self)
        self.listener, self.to, self.delay, self.window = host.listen(), to, delay, window
        self.host = host
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            one, _ = self.listener.accept()
            other = self.host.connect(self.to)
            other.settimeout(None)
            for ends in (one, other), (other, one):
                self._pump(*ends)

    def _pump(self, source, sink):
        late = queue.Queue(maxsize=max(1, self.window // 65536))

        def read():
            while True:
                part = source.recv(65536)
                late.put((time.monotonic() + self.delay, part))
                if not part:
                    return

        def write():
            while True:
                due, part = late.get()
                time.sleep(max(0, due - time.monotonic()))
                if not part:
                    return sink.shutdown(socket.SHUT_WR)
                sink.sendall(part)

        for work in read, write:
            threading.Thread(target=work, daemon=True).start()


def main():
    try:
        enter()
        host = Host()
        host.lose(1)
        host.limit("20mbit")
        host.vanish()
    except (AssertionError, Skip, OSError) as error:
        print(f"no hosts of our own here: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main())  # the threads of hosts are left as they are
