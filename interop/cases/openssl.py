"""OpenSSL's own programs: s_server as the server of wss://, s_client as the way to one; bad certificates."""

import base64
import hashlib
import os
import pathlib
import re
import subprocess

import wire
from harness import Program, Server, case
from peers import WebSocketServer, certificates, echo
from programs import Socat, path, s_server

NEEDS = ("openssl",)
TRUST = {"SSL_CERT_FILE": "ca.pem"}


def issue(name, names, *dates):
    """A certificate of the authority that `certificates` made, for these names and dates; `openssl ca` takes any."""

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    pathlib.Path("index.txt").write_text("")
    pathlib.Path("authority.cnf").write_text(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nrand_serial = yes\nnew_certs_dir = .\n"
        "default_md = sha256\npolicy = any\nx509_extensions = leaf\nunique_subject = no\n"
        f"[any]\ncommonName = supplied\n[leaf]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = {names}\n")
    openssl("req", "-new", "-key", "key.pem", "-subj", "/CN=interop", "-out", "request.pem")
    openssl("ca", "-batch", "-notext", "-config", "authority.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
            "-in", "request.pem", "-out", name, *(dates or ("-days", "2")))
    return name


def refused(certificate, *words, host="127.0.0.1", env=TRUST):
    """The client has to refuse this certificate, and says why in one line."""
    _, port = s_server(certificate, "key.pem")
    client = Program(f"wss://{host}:{port}/", stdin="null", env=env)
    client.expect(8)
    client.expect_message("certificate", host, *words)
    assert client.stdout.all() == b""


@case("s_server by hand: handshake, a message each way, and Close over TLS", needs=NEEDS)
def s_server_serves():
    certificates(".")
    server, port = s_server("cert.pem", "key.pem")
    client = Program(f"wss://127.0.0.1:{port}/", env=TRUST)
    head = server.stdout.wait(rb"(?s)^(GET / HTTP/1\.1\r\n.*?\r\n)\r\n")[1].decode()
    key = re.search(r"(?im)^sec-websocket-key: (\S+)\r$", head)[1]
    proof = base64.b64encode(hashlib.sha1(key.encode() + wire.GUID).digest()).decode()
    server.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Accept: {proof}\r\n\r\n".encode() + wire.encode(wire.TEXT, b"from OpenSSL"))
    client.stdout.wait(rb"^from OpenSSL\n$")
    client.send(b"from us\n")
    start = len(head) + 2
    taken = server.stdout.wait(rb"(?s)^.{%d}\x81\x87(.{4})(.{7})" % start)
    assert wire.apply_mask(taken[2], taken[1]) == b"from us", taken
    server.send(wire.encode(wire.CLOSE, wire.close_body(1000)))
    client.expect(0)
    taken = server.stdout.wait(rb"(?s)^.{%d}\x88(?:\x82(.{4})(.{2})|\x80.{4})" % (start + 13))
    assert wire.apply_mask(taken[2], taken[1]) == b"\x03\xe8", taken


@case("s_server with TLS 1.2 only, and with TLS 1.3 only", needs=NEEDS)
def s_server_versions():
    certificates(".")
    for version in ("-tls1_2", "-tls1_3"):
        server, port = s_server("cert.pem", "key.pem", version)
        Program(f"wss://localhost:{port}/", env=TRUST)
        server.stdout.wait(rb"^GET / HTTP/1\.1\r\n")


@case("s_server sees the name that was asked for (SNI)", needs=NEEDS)
def s_server_sees_the_name():
    certificates(".")
    # The second certificate is used for clients that ask for that name; the first one is good for nobody.
    bad = issue("bad.pem", "DNS:other.example")
    server, port = s_server(bad, "key.pem", "-servername", "localhost", "-cert2", "cert.pem", "-key2", "key.pem")
    Program(f"wss://localhost:{port}/", env=TRUST)
    server.stdout.wait(rb"^GET / ")
    server, port = s_server(bad, "key.pem", "-servername", "localhost", "-cert2", "cert.pem", "-key2", "key.pem")
    Program("--tls-domain", "localhost", f"wss://127.0.0.1:{port}/", env=TRUST)
    server.stdout.wait(rb"^GET / ")


@case("the certificate is for another name: exit status 8", needs=NEEDS)
def certificate_for_another_name():
    certificates(".")
    other = issue("other.pem", "DNS:other.example,IP:127.0.0.9")
    refused(other)
    refused(other, host="localhost")


@case("the certificate has expired: exit status 8, and the message says so", needs=NEEDS)
def certificate_has_expired():
    certificates(".")
    old = issue("old.pem", "IP:127.0.0.1", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    refused(old, "expired")


@case("the certificate is not valid yet: exit status 8", needs=NEEDS)
def certificate_of_the_future():
    certificates(".")
    early = issue("early.pem", "IP:127.0.0.1", "-startdate", "20490101000000Z", "-enddate", "20491231000000Z")
    refused(early, "valid")


@case("nobody knows the authority: exit status 8", needs=NEEDS)
def certificate_of_a_stranger():
    certificates(".")
    os.mkdir("strangers")
    certificates("strangers")
    refused("cert.pem", env={"SSL_CERT_FILE": "strangers/ca.pem"})


@case("a certificate that signed itself: exit status 8", needs=NEEDS)
def certificate_signed_by_itself():
    certificates(".")
    subprocess.run(["openssl", "req", "-x509", "-key", "key.pem", "-out", "own.pem", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    refused("own.pem")


@case("-k takes the expired and the foreign one", needs=NEEDS)
def bad_certificates_unchecked():
    certificates(".")
    old = issue("old.pem", "DNS:other.example", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    server, port = s_server(old, "key.pem")
    Program("-k", f"wss://127.0.0.1:{port}/")
    server.stdout.wait(rb"^GET / ")


@case("a server that speaks no TLS: exit status 8", needs=())
def server_without_tls():
    server = WebSocketServer(echo)
    client = Program(f"wss://127.0.0.1:{server.port}/", stdin="null")
    client.expect(8)
    client.expect_message("TLS", "127.0.0.1")


@case("the file of SSL_CERT_FILE is not there: exit status 8, the file is named", needs=NEEDS)
def authority_file_is_missing():
    certificates(".")
    _, port = s_server("cert.pem", "key.pem")
    client = Program(f"wss://127.0.0.1:{port}/", stdin="null", env={"SSL_CERT_FILE": "nowhere.pem"})
    client.expect(8)
    assert b"nowhere.pem" in client.stderr.all()


@case("s_client as the client's way through TLS: ws-c:cmd:openssl", needs=(*NEEDS, "socat"))
def s_client_carries_a_websocket():
    certificates(".")
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    front = Socat("OPENSSL-LISTEN:0,bind=127.0.0.1,fork,cert=cert.pem,key=key.pem,verify=0",
                  f"TCP:127.0.0.1:{server.port()}")
    way = (f"{path('openssl')} s_client -quiet -no_ign_eof -verify_return_error -CAfile ca.pem -servername localhost "
           f"-connect 127.0.0.1:{front.port} 2>/dev/null")
    program = Program(f"ws-c:cmd:{way}", stdin=b"by s_client\n")
    program.expect(0)
    assert program.stdout.all() == b"by s_client\n"
