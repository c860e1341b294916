"""Bad input: a usage error or one clear line with the right status, before anything is connected if that can be."""

import os
import pathlib
import re

from harness import Program, case
from peers import RawServer


def refused(*args, status, parts=(), connects=False, one_line=True, **options):
    """Runs with {url} replaced by that of a server which no connection may reach."""
    server = RawServer(lambda peer: peer.read_to_end(), websocket=False)
    program = Program(*[str(arg).replace("{url}", server.url) for arg in args], **options)
    got = program.status()
    assert got in status, f"exit status {got}, expected one of {status}: {program.stderr.data!r}"
    if one_line:
        program.expect_message(*parts)
    else:
        text = program.stderr.all().decode().lower()
        assert text and not [part for part in parts if part.lower() not in text], text
    assert "panicked" not in program.stderr.all().decode()
    assert program.stdout.all() == b""
    if not connects:
        assert server.accepted == 0, "it connected before it refused"


def usage(*args, parts=()):
    """A usage error may have more lines than one: the second says how it is done right."""
    refused(*args, status=(2,), parts=parts, one_line=False)


@case("two stdio sides")
def two_stdio_sides():
    refused("-", "-", status=(1, 2), parts=["stdio"], one_line=False)
    refused("-b", "stdio:", "stdio:", status=(1, 2), parts=["stdio"], one_line=False)
    refused("-t", "lines:-", "log:stdio:", status=(1, 2), parts=["stdio"], one_line=False)


@case("negative durations")
def negative_durations():
    for option in ("--connect-timeout", "--handshake-timeout", "--linger", "--drain"):
        usage(f"{option}=-1", "{url}", parts=[option])
        usage(f"{option}=-5ms", "{url}", parts=[option])


@case("durations that are not a number or have no such unit")
def odd_durations():
    for value in ("NaN", "nan", "5 parsecs", "", "1e400s", "-inf", "ms"):
        usage(f"--linger={value}", "{url}", parts=["--linger"])


@case("all units of durations are taken")
def good_durations():
    for value in ("0", "1", "1.5", "100ns", "100us", "100ms", "2s", "1m", "1h", "1d", "inf"):
        program = Program("--dump-spec", f"--linger={value}", f"--connect-timeout={value}", "ws://127.0.0.1:1/")
        program.expect(0)


@case("header with CR or LF")
def line_breaks_in_headers():
    for value in ("X: a\r\nY: b", "X: a\nb", "X: a\rb", "X\n: a"):
        refused("-H", value, "{url}", status=(1, 2), parts=["header"], one_line=False)


@case("header with NUL, from a script")
def nul_in_a_header():
    planned = Program("--dump-spec", "-H", "X: marker", "ws://127.0.0.1:1/")
    planned.expect(0)
    text = planned.stdout.all().decode()
    assert "marker" in text, text
    server = RawServer(lambda peer: peer.read_to_end(), websocket=False)
    text = text.replace("marker", "a\\x00b").replace("127.0.0.1:1", f"127.0.0.1:{server.port}")
    pathlib.Path("scenario.rhai").write_text(text)
    program = Program("-x", "scenario.rhai")
    assert program.status() not in (0, 101)
    program.expect_message("header")


@case("header without a colon")
def header_without_colon():
    usage("-H", "no colon here", "{url}", parts=["header"])


@case("close codes that may not be sent, from a script")
def forbidden_close_codes():
    server = RawServer(lambda peer: peer.read_to_end())
    planned = Program("--dump-spec", server.url)
    planned.expect(0)
    text = planned.stdout.all().decode()
    assert re.search(r"close_code: *1000", text), text
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536, -1):
        pathlib.Path("scenario.rhai").write_text(re.sub(r"close_code: *1000", f"close_code: {code}", text))
        program = Program("-x", "scenario.rhai")
        assert program.status() not in (0, 101), f"{code} is accepted"
        program.expect_message(str(code))


@case("missing file")
def missing_file_is_named():
    for prefix in ("readfile:", "writefile:no-such-folder/", "appendfile:no-such-folder/"):
        refused("-b", prefix + "absent", "devnull:", status=(25,), parts=["absent", "no such file"])


@case("directory as a file")
def directory_as_file():
    os.mkdir("folder")
    for args in (["readfile:folder", "devnull:"], ["empty:", "writefile:folder"], ["empty:", "appendfile:folder"]):
        refused("-b", *args, status=(25,), parts=["folder", "directory"])


@case("missing script")
def missing_script():
    refused("-x", "absent.rhai", status=(1, 25), parts=["absent.rhai", "no such file"])


@case("script that is not UTF-8")
def script_not_utf8():
    pathlib.Path("bad.rhai").write_bytes(b'print_stdout("\xff");\ndummy_task()\n')
    refused("-x", "bad.rhai", status=(1,), parts=["bad.rhai", "utf-8"])


@case("script that is not valid: file and line are named")
def script_not_valid():
    pathlib.Path("bad.rhai").write_text("let a = 1;\nlet = ;\n")
    refused("-x", "bad.rhai", status=(1,), parts=["bad.rhai", "2"])


@case("script with an unknown option key: it is named")
def unknown_key_in_a_script():
    options = '#{addr: "127.0.0.1:1", no_such_key_zz: 1}'
    pathlib.Path("bad.rhai").write_text(f"connect_tcp({options}, |s| {{ dummy_task() }})\n")
    refused("-x", "bad.rhai", status=(1,), parts=["no_such_key_zz"])


@case("unknown option: the nearest known one is named")
def unknown_option():
    usage("--oneshoot", "{url}", parts=["--oneshoot", "--oneshot"])


@case("unknown prefix: the nearest known one is named")
def unknown_prefix():
    refused("-b", "{url}", "tpc:127.0.0.1:1", status=(1, 2), parts=["tpc:", "tcp:"])
    refused("-b", "{url}", "readfiel:x", status=(1, 2), parts=["readfile:"])


@case("no specifier, and one too many")
def wrong_number_of_specifiers():
    usage()
    usage("{url}", "devnull:", "devnull:")


@case("a port that is none")
def bad_port():
    too_high = "70000"
    refused("-b", f"ws-l:127.0.0.1:{too_high}", "mirror:", status=(1, 2), parts=[too_high])
    refused(f"ws://127.0.0.1:{too_high}/", status=(1, 2), parts=[too_high])


@case("an overlay over the wrong kind of socket: both kinds are named")
def wrong_kind():
    refused("-b", "lines:ws://127.0.0.1:1/", "devnull:", status=(1, 2), parts=["stream", "datagram"])


@case("a flag given twice")
def flag_given_twice():
    usage("-n", "-n", "{url}")
