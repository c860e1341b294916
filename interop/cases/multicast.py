"""Multicast and broadcast between two hosts: one beyond a link of its own, and this one.

Both run the program, or one of them a plain socket that tells how far a datagram was meant to go. What is not to be heard
is followed by something that is.
"""

import os
import select
import signal
import socket
import struct

import hosts
from harness import Program, Server, case, eventually

NEEDS = ("ip",)
SITE, LINK = "239.70.1.1", "ff02::70:1"
# Python has no names for these (ip(7)).
IP_RECVTTL = 12
GROUPS_V4, GROUPS_V6 = "/proc/thread-self/net/igmp", "/proc/thread-self/net/igmp6"


def pair():
    """The other host, and this one's interface to it."""
    hosts.enter()
    host = hosts.Host().with_ipv6()
    hosts.ip(f"route add 224.0.0.0/4 dev {host.interface}")
    return host, host.interface


def index(interface):
    return socket.if_nametoindex(interface)


def listener(group, interface, port=0):
    """A plain socket in the group that is told the hops left of what it hears."""
    v6 = ":" in group
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::" if v6 else "", port))
    number = index(interface)
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        wanted = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", number)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, wanted)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        wanted = socket.inet_aton(group) + struct.pack("@4si", b"\0" * 4, number)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
    sock.settimeout(8)
    return sock


def heard(sock):
    """A datagram, and the hops it had left."""
    data, ancillary, _, _ = sock.recvmsg(2000, 200)
    hops = [struct.unpack("@i", value[:4])[0] for level, kind, value in ancillary
            if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT))]
    return data, hops[0]


def content(path):
    """Of a file that may not be there yet."""
    return open(path).read() if os.path.exists(path) else ""


def is_silent(sock):
    return not select.select([sock], [], [], 0.3)[0]


def say(host, words, to, *options):
    """One message from the program on that host."""
    host(Program, "-b", "-E", f"literal:{words}", f"udp:{to}", *options).expect(0)


def members(host, group):
    """On how many of the host's interfaces it is a member of the group."""
    v6 = ":" in group
    wanted = (socket.inet_pton(socket.AF_INET6, group).hex() if v6
              else f"{struct.unpack('@I', socket.inet_aton(group))[0]:08X}")
    text = host(lambda: open(GROUPS_V6 if v6 else GROUPS_V4).read())
    return sum(wanted in line.split() for line in text.splitlines())


@case("IPv4 multicast from one host to the program in the group on another, joined by index, name and address",
      needs=NEEDS)
def multicast_between_hosts():
    host, _ = pair()
    for number, (option, where) in enumerate((
            ("--socket-multicast-interface-index", host(index, "eth0")),
            ("--socket-multicast-interface-index", "eth0"),
            ("--socket-multicast-interface-addr", host.address))):
        group = f"239.70.2.{number}"
        receiver = host(Server, "-b", "udp-l:0.0.0.0:0", "-", "--socket-multicast", group, option, where)
        port = receiver.port()
        assert members(host, group) == 1
        Program("-b", "-E", "literal:hello", f"udp:{group}:{port}").expect(0)
        receiver.stdout.wait(rb"hello")
        receiver.signal(signal.SIGTERM)
        receiver.status()
        assert members(host, group) == 0, "it has left the group"


@case("IPv6 multicast between hosts, ff05:: by interface and ff02:: by scope, each way", needs=NEEDS)
def multicast_between_hosts_over_ipv6():
    host, interface = pair()
    # From there to here.
    for group, to in (("ff05::70:1", "[ff05::70:1]"), (LINK, f"[{LINK}%{host(index, 'eth0')}]"),
                      (LINK, f"[{LINK}%eth0]")):
        for where in index(interface), interface:
            receiver = Server("-b", "udp-l:[::]:0", "-", "--socket-multicast", group,
                              "--socket-multicast-interface-index", where)
            port = receiver.port()
            say(host, "there", f"{to}:{port}", "--socket-bind-to-device", "eth0")
            receiver.stdout.wait(rb"there")
            receiver.signal(signal.SIGTERM)
            receiver.status()
    # From here to there.
    receiver = host(Server, "-b", "udp-server:[::]:0", "appendfile:got", "--socket-multicast", LINK,
                    "--socket-multicast-interface-index", "eth0")
    Program("-b", "-E", "literal:here", f"udp:[{LINK}%{interface}]:{receiver.port()}").expect(0)
    eventually(lambda: content("got") == "here", "it is heard there")
    assert members(host, LINK) == 1
    receiver.signal(signal.SIGTERM)
    receiver.status()
    assert members(host, LINK) == 0


@case("how far a multicast goes is what --socket-multicast-ttl says, by IP_RECVTTL of the receiver; 0 stays at home",
      needs=NEEDS)
def multicast_hops():
    host, interface = pair()
    for group, to in (SITE, SITE), (LINK, f"[{LINK}%eth0]"):
        sock = listener(group, interface)
        at = f"{to}:{sock.getsockname()[1]}"
        for options, hops in ((), 1), (("--socket-multicast-ttl", 1), 1), (("--socket-multicast-ttl", 5), 5), (
                ("--socket-ttl", 9), 1):
            say(host, "x", at, *options)
            assert heard(sock) == (b"x", hops), options
        # Linux holds 0 back where the sender's host is in the group itself.
        say(host, "at home", at, "--socket-multicast-ttl", 0, "--socket-multicast", group,
            "--socket-multicast-interface-index", "eth0")
        say(host, "after it", at)
        assert heard(sock)[0] == b"after it"
    # What goes to one host has its own number.
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    sock.bind((host.router, 0))
    sock.settimeout(8)
    say(host, "x", f"{host.router}:{sock.getsockname()[1]}", "--socket-ttl", 9, "--socket-multicast-ttl", 3)
    assert heard(sock) == (b"x", 9)


@case("own multicasts come back to the sender's host with --socket-multicast-loop true, and not with false", needs=NEEDS)
def multicast_loop():
    host, interface = pair()
    for group, to in (SITE, SITE), (LINK, f"[{LINK}%eth0]"):
        here = listener(group, interface)
        port = here.getsockname()[1]
        there = host(listener, group, "eth0", port)
        for options, comes_back in ((), True), (("--socket-multicast-loop", "true"), True), (
                ("--socket-multicast-loop", "false"), False):
            say(host, "x", f"{to}:{port}", *options)
            assert heard(here)[0] == b"x"
            if comes_back:
                assert heard(there)[0] == b"x"
            else:
                assert is_silent(there)


@case("of a group with --socket-multicast-specific-source only that host is heard", needs=NEEDS)
def multicast_of_one_source():
    host, interface = pair()
    hosts.ip(f"addr add 10.7.1.9/24 dev {interface}")
    receiver = host(Server, "-b", "udp-server:0.0.0.0:0", "appendfile:got", "--socket-multicast", "239.70.3.1",
                    "--socket-multicast-specific-source", "10.7.1.9", "--socket-multicast-interface-addr", host.address)
    port = receiver.port()
    for source, words in (host.router, "no"), ("10.7.1.9", "yes"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((source, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        sock.sendto(words.encode(), ("239.70.3.1", port))
    eventually(lambda: content("got") == "yes", "the right one is heard")


@case("a session that ends leaves its group, while the program goes on", needs=NEEDS)
def multicast_group_is_left():
    host, _ = pair()
    program = host(Server, "-b", "tcp-l:127.0.0.1:0", f"udp:{host.router}:9", "-E", "--socket-multicast", SITE,
                   "--socket-multicast-interface-index", "eth0")
    port = program.port()
    for _ in range(2):
        assert members(host, SITE) == 0
        client = host(socket.create_connection, ("127.0.0.1", port))
        eventually(lambda: members(host, SITE) == 1, "the session joins")
        client.close()
        eventually(lambda: members(host, SITE) == 0, "the session leaves")
    assert program.running()


@case("--socket-broadcast sends to the broadcast address of the network, and without it that is refused", needs=NEEDS)
def broadcast_between_hosts():
    host, _ = pair()
    receiver = Server("-b", "udp-server:0.0.0.0:0", "appendfile:got")
    to = f"udp:10.7.1.255:{receiver.port()}"
    refused = host(Program, "-b", "-E", "literal:no", to)
    assert refused.status() != 0
    assert b"10.7.1.255" in refused.stderr.all()
    host(Program, "-b", "-E", "literal:to all", to, "--socket-broadcast").expect(0)
    eventually(lambda: content("got") == "to all", "it is heard")
