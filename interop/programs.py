"""Programs by others that cases need: where they are, which version they have, and how they are started.

`install.sh` installs them. A case names what it needs with `@case(…, needs=("node",))`; run.py looks for it first,
prints its version once, and fails the case if it is not there.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from harness import KEPT, SOON, Program, Skip, eventually

HERE = pathlib.Path(__file__).resolve().parent
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"

# Name: the command that prints the version, and what to look for in what it prints.
PROGRAMS = {
    "node": (["node", "--version"], r"v(\S+)"),
    "ws": (["node", "-p", "require('ws/package.json').version"], r"^(\d\S+)"),
    "chromium": (["chromium", "--version"], r"Chromium (\S+)"),
    "chromedriver": (["chromedriver", "--version"], r"ChromeDriver (\S+)"),
    "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
    "nginx-stream": (["nginx", "-V"], r"nginx/(\S+)"),
    "socat": (["socat", "-V"], r"socat version (\S+)"),
    "curl": (["curl", "--version"], r"curl (\S+)"),
    "openssl": (["openssl", "version"], r"OpenSSL (\S+)"),
    "strace": (["strace", "--version"], r"strace -- version (\S+)"),
    "ip": (["ip", "-V"], r"iproute2-(\S+?),"),
    "tc": (["tc", "-V"], r"iproute2-(\S+?),"),
    "nft": (["nft", "--version"], r"nftables v(\S+)"),
}


@functools.cache
def node_packages():
    """The folder where install.sh has put the packages of Node."""
    return subprocess.run(["bash", HERE / "install.sh", "--node-path"], check=True, capture_output=True,
                          text=True).stdout.strip()


@functools.cache
def path(name):
    """The program's file, None if it is not there. Daemons are in a folder that not everybody has in PATH."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")


@functools.cache
def version(name):
    """The version of one of PROGRAMS, None if it is not there or does not run."""
    command, pattern = PROGRAMS[name]
    program = path(command[0])
    if not program or name == "nginx-stream" and not os.path.exists(NGINX_STREAM):
        return None
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "NODE_PATH": node_packages()})
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found and done.returncode == 0 else None


def require(names):
    """Raises if one of PROGRAMS is missing: a failure, unless leaving cases out is allowed."""
    absent = [name for name in names if not version(name)]
    if absent:
        text = f"not installed, or it does not start: {', '.join(absent)}; see interop/install.sh"
        raise Skip(text) if os.environ.get("WEBSOCAT_ALLOW_SKIP") == "1" else AssertionError(text)


def start(name, *args, **options):
    """Starts a program by others; options as for `Program`."""
    return Program(*args, binary=path(name), **options)


def listening_port(program):
    """The port that a running program listens on: for those that take port 0 but do not say which one they got."""

    def look():
        inodes = {link[8:-1] for link in program.descriptors() if link.startswith("socket:[")}
        for line in open(f"/proc/{program.pid}/net/tcp").read().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                return int(fields[1].rpartition(":")[2], 16)
        return None

    eventually(look, "the program listens")
    return look()


# -- Node ----------------------------------------------------------------------
class Node:
    """A WebSocket of the Node package `ws`, steered by commands and heard by events; see node/peer.js."""

    def __init__(self, *args):
        self.program = start("node", HERE / "node/peer.js", *args, env={"NODE_PATH": node_packages()})
        self.read = 0

    def do(self, what, **details):
        self.program.send(json.dumps({"do": what, **details}).encode() + b"\n")

    def event(self, name, seconds=SOON):
        """The next event, which has to be of this name."""
        output = self.program.stdout
        with output.changed:
            there = output.changed.wait_for(lambda: b"\n" in output.data[self.read:] or output.ended, seconds)
            line, _, _ = output.data[self.read:].partition(b"\n")
        if not there or not line:
            raise AssertionError(f"no event {name} of Node; stderr: {self.program.stderr.data.decode()!r}")
        self.read += len(line) + 1
        print("node:", line.decode()[:200], flush=True)
        event = json.loads(line)
        assert event["event"] == name, f"{event} instead of {name}"
        return event

    @functools.cached_property
    def port(self):
        return self.event("listening")["port"]

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/"


# -- Chromium ------------------------------------------------------------------
FLAGS = ("--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
         "--disable-background-networking --disable-component-update --disable-sync --disable-default-apps "
         "--disable-extensions --window-size=400,300").split()


class Chromium:
    """A browser with a page of ours open, steered over chromedriver's HTTP interface (the W3C WebDriver protocol)."""

    def __init__(self):
        KEPT.append(self)
        self.driver = start("chromedriver", "--port=0", env={"HOME": os.getcwd()})
        port = int(self.driver.stdout.wait(rb"started successfully on port (\d+)", 60)[1])
        self.base = f"http://127.0.0.1:{port}"
        options = {"binary": path("chromium"), "args": [*FLAGS, f"--user-data-dir={os.getcwd()}/profile"]}
        answer = self._call("/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"script": 30_000}}}})
        self.base += f"/session/{answer['sessionId']}"
        self.pages = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        threading.Thread(target=self.pages.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.pages.server_port}"
        self.visit(f"{self.origin}/page.html")

    def visit(self, url):
        self._call("/url", {"url": url})

    def _call(self, where, body):
        request = urllib.request.Request(self.base + where, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        # Not through a proxy that the environment may name.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"chromedriver: {error.read().decode()[:1000]}") from None

    def run(self, script):
        """Runs the body of an async function in the page; returns what it returns."""
        return self._call("/execute/sync", {"script": f"return (async () => {{ {script} }})()", "args": []})

    def text(self, selector):
        """The text of an element of the page, as a reader sees it."""
        return self.run(f"return document.querySelector({json.dumps(selector)}).textContent")


class Pages(SimpleHTTPRequestHandler):
    """Serves page.html and nothing else, quietly."""

    def do_GET(self):
        found = self.path == "/page.html"
        body = (HERE / "page.html").read_bytes() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# -- nginx -----------------------------------------------------------------------
class Nginx:
    """nginx in front of a port: as a relay of TCP (`stream`) or as a reverse proxy of HTTP that lets upgrades through.

    It takes over a listening socket that is ours, so that the port is known and nobody else can get it first. (With
    `master_process off` nginx 1.22 crashes then.)
    """

    def __init__(self, kind, backend_port, host="$host"):
        listener = socket.create_server(("127.0.0.1", 0))
        KEPT.append(listener)
        self.port = listener.getsockname()[1]
        pathlib.Path("nginx.conf").write_text(self._configuration(kind, backend_port, host))
        os.makedirs("temporary", exist_ok=True)
        self.program = start("nginx", "-p", f"{os.getcwd()}/", "-c", "nginx.conf", "-e", "stderr",
                             env={"NGINX": f"{listener.fileno()};"}, pass_fds=[listener.fileno()])

    def _configuration(self, kind, backend_port, host):
        common = "daemon off; worker_processes 1; user root; pid nginx.pid; error_log stderr warn;\nevents {}\n"
        if kind == "stream":
            return f"load_module {NGINX_STREAM};\n{common}" + (
                f"stream {{ server {{ listen 127.0.0.1:{self.port}; "
                f"proxy_pass 127.0.0.1:{backend_port}; proxy_half_close on; }} }}\n")
        folders = " ".join(f"{name}_temp_path temporary;" for name in
                           ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return common + (
            f"http {{ access_log off; {folders}\n"
            f"server {{ listen 127.0.0.1:{self.port}; location /socket {{ proxy_pass http://127.0.0.1:{backend_port};\n"
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;\n"
            f"proxy_set_header Host {host}; " "proxy_set_header X-Forwarded-For $remote_addr; } } }\n")

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/socket"


# -- socat, openssl ----------------------------------------------------------------
class Socat:
    """socat between two of its addresses. One that listens takes port 0 and announces which one it got."""

    def __init__(self, *args, **options):
        self.program = start("socat", "-d", "-d", *args, **options)

    @functools.cached_property
    def port(self):
        return int(self.program.stderr.wait(rb"listening on (?:LEN=\d+ )?AF=2 127\.0\.0\.1:(\d+)")[1])


def s_server(certificate, key, *args, **options):
    """`openssl s_server` as a plain TLS pipe: what a client says comes out, what it is given goes to the client."""
    server = start("openssl", "s_server", "-accept", "127.0.0.1:0", "-quiet", "-naccept", "1", "-cert", certificate,
                   "-key", key, *args, **options)
    return server, listening_port(server)
