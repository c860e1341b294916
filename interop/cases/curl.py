"""curl: plain HTTP requests at a WebSocket server, an upgrade by headers, and downloads through tunnels."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import KEPT, Server, case
from programs import start

NEEDS = ("curl",)
BODY = bytes(range(256)) * 16384
UPGRADE = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]


def curl(*args, **options):
    return start("curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", 8, *args, **options)


def ask(*args):
    """Asks a server for something other than a WebSocket; returns the status and the text of the reply."""
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    program = curl("--include", *args, f"http://127.0.0.1:{server.port()}/path")
    program.expect(0)
    head, _, body = program.stdout.all().decode().partition("\r\n\r\n")
    # It goes on for others.
    again = curl("--include", f"http://127.0.0.1:{server.port()}/")
    again.expect(0)
    return int(head.split()[1]), head.lower(), body


@case("a plain GET is refused with a status and a line that says what is expected", needs=NEEDS)
def curl_gets_a_refusal():
    status, head, body = ask()
    assert status in (400, 426), head
    assert "websocket" in body.lower(), body
    assert "content-type: text/plain" in head, head


@case("POST with a body is refused with 405 or 400, and a line that says why", needs=NEEDS)
def curl_posts():
    status, head, body = ask("--data", "x" * 100)
    assert status in (400, 405), head
    assert body.strip(), head


@case("HEAD is refused without a body", needs=NEEDS)
def curl_asks_for_the_head():
    status, head, body = ask("--head")
    assert status in (400, 405, 426), head
    assert not body, body


@case("an old version of the protocol is refused with 426 and the one that is spoken", needs=NEEDS)
def curl_asks_for_an_old_version():
    status, head, _ = ask(*UPGRADE[:4], "-H", "Sec-WebSocket-Version: 8", *UPGRADE[6:])
    assert status == 426, head
    assert "sec-websocket-version: 13" in head, head


@case("an upgrade without a key is refused with 400", needs=NEEDS)
def curl_asks_without_a_key():
    status, head, _ = ask(*UPGRADE[:6])
    assert status == 400, head


@case("--http1.1 with the headers of an upgrade gets 101, the right proof, and frames", needs=NEEDS)
def curl_upgrades():
    server = Server("-b", "ws-l:127.0.0.1:0", "literal:hello")
    program = curl("--include", "--no-buffer", "--http1.1", *UPGRADE, f"http://127.0.0.1:{server.port()}/")
    head = program.stdout.wait(rb"(?s)^(HTTP/1\.1 101 .*?\r\n)\r\n")[1].lower()
    assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head, head
    # One binary frame, then a Close with 1000; no mask.
    assert program.stdout.wait(rb"(?s)\r\n\r\n(\x82\x05hello\x88\x02\x03\xe8)")


class Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(BODY)

    def do_POST(self):
        taken = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(json.dumps({"length": len(taken), "same": taken == BODY}).encode())

    def log_message(self, *_):
        pass


def tunnel_to_files():
    files = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    KEPT.append(files)
    threading.Thread(target=files.serve_forever, daemon=True).start()
    far = Server("-b", "ws-l:127.0.0.1:0", f"tcp:127.0.0.1:{files.server_port}")
    near = Server("-b", "tcp-l:127.0.0.1:0", far.url)
    return f"http://127.0.0.1:{near.port()}/"


@case("curl downloads 4 MiB through tcp-l: → ws:// → ws-l: → tcp:", needs=NEEDS)
def curl_downloads_through_a_tunnel():
    url = tunnel_to_files()
    program = curl(url, "--next", "--silent", "--noproxy", "*", url)
    program.expect(0)
    assert program.stdout.all() == BODY * 2


@case("curl uploads 4 MiB through the tunnel", needs=NEEDS)
def curl_uploads_through_a_tunnel():
    program = curl("--header", "Expect:", "--data-binary", "@-", tunnel_to_files(), stdin=BODY)
    program.expect(0)
    assert json.loads(program.stdout.all()) == {"length": len(BODY), "same": True}


@case("ten curls at a time through one tunnel", needs=NEEDS)
def curls_at_a_time_through_a_tunnel():
    url = tunnel_to_files()
    programs = [curl("--output", f"part{number}", url) for number in range(10)]
    for number, program in enumerate(programs):
        program.expect(0)
        assert open(f"part{number}", "rb").read() == BODY
