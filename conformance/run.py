#!/usr/bin/env python3
"""The Autobahn testsuite against a built websocat, as server and as client, judged by reasons.toml.

    run.py --binary target/release/websocat [--role server client] [--group core limits compression]
           [--compress always|auto] [--messages N] [--out DIR]

Each case has to be OK, or to have the outcome that reasons.toml states together with a reason. An entry there that is
not needed, or says something else than what came out, fails as well. A case with another outcome than expected is tried
once more alone, since many cases have timing of their own, and is named even if that went well.

The server is `websocat -b ws-l:127.0.0.1:0 mirror:`, the client `websocat -b URL mirror:`, both with `--compress` for the
group `compression` and, with `--compress always`, for the others too. Exit status: 0 all as expected, 1 not, 2 the run
itself went wrong. autobahn/README.md says what the suite is; it needs PyPI once.
"""

import argparse
import json
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
REASONS = HERE / "reasons.toml"
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE / "autobahn"))
import autobahn  # noqa: E402: ours, for its verdicts

OUTCOMES = ("NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")
ROLES = ("server", "client")


class RunError(Exception):
    """The run went wrong, as opposed to a case."""


# -- What is expected --------------------------------------------------------------
def load_reasons(text):
    """Outcomes by (role, case) that are expected instead of OK."""
    table = tomllib.loads(text)
    if set(table) - {"case"}:
        raise RunError(f"{REASONS.name}: only [[case]] is known, not {sorted(set(table) - {'case'})}")
    expected = {}
    for entry in table.get("case", []):
        if set(entry) != {"id", "role", "outcome", "reason"} or not all(isinstance(v, str) for v in entry.values()):
            raise RunError(f"{REASONS.name}: an entry has id, role, outcome and reason, not {entry}")
        if entry["outcome"] not in OUTCOMES or not entry["reason"].strip():
            raise RunError(f"{REASONS.name}: {entry['id']} needs an outcome of {', '.join(OUTCOMES)} and a reason")
        if entry["role"] not in (*ROLES, "both"):
            raise RunError(f"{REASONS.name}: {entry['id']} has role server, client or both")
        for role in ROLES if entry["role"] == "both" else (entry["role"],):
            if (role, entry["id"]) in expected:
                raise RunError(f"{REASONS.name}: two entries for {entry['id']} as {role}")
            expected[role, entry["id"]] = entry["outcome"]
    return expected


def unexpected(expected, role, outcomes):
    """(case, outcome, what was expected) where they differ."""
    pairs = ((case, outcome, expected.get((role, case), "OK")) for case, outcome in outcomes.items())
    return [(case, outcome, wanted) for case, outcome, wanted in pairs if outcome != wanted]


# -- Running -------------------------------------------------------------------------
def outcomes(out):
    """Verdict by case of the run whose reports are in this folder."""
    if not (out / "run.json").exists():
        raise RunError(f"the suite left no report in {out}")
    cases = json.loads((out / "run.json").read_text())["cases"]
    index = out / "index.json"
    agents = json.loads(index.read_text()) if index.exists() else {}
    results = next(iter(agents.values()), {})
    return {case: autobahn.verdict(results.get(case)) for case in cases}


def suite(out, log, *args):
    """Runs autobahn.py; what it prints goes to a file."""
    command = [sys.executable, HERE / "autobahn/autobahn.py", *args, "--out", out, "--agent", "websocat"]
    status = subprocess.run([str(a) for a in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
    if status not in (0, 1):
        log.flush()
        raise RunError(f"autobahn.py ended with status {status}:\n{pathlib.Path(log.name).read_text()[-2000:]}")
    return outcomes(out)


def free_port():
    """A port that was free a moment ago: the fuzzing server cannot say which one it got."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def run_server(binary, options, out, log, which):
    command = [binary, "-b", *options, "ws-l:127.0.0.1:0", "mirror:", "--stdout-announce-listening-ports"]
    with open(out / "server.log", "w") as errors:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            line = server.stdout.readline()
            port = re.search(r"port=(\d+)", line)
            if not port:
                raise RunError(f"the server says no port: {line!r}, {(out / 'server.log').read_text()[:500]}")
            found = suite(out, log, "server-under-test", "--url", f"ws://127.0.0.1:{port[1]}", *which)
            if server.poll() is not None:
                raise RunError(f"the server ended with status {server.returncode}")
            return found
        finally:
            autobahn.stop(server, seconds=15)


def run_client(binary, options, out, log, which):
    client = " ".join([*map(shlex.quote, [binary, "-b", *options]), "{url}", "mirror:"])
    for attempts_left in reversed(range(3)):
        try:
            port = free_port()
            return suite(out, log, "client-under-test", "--port", port, "--client", client, "--jobs", "4", *which)
        except RunError:
            # Somebody else may have got the port. Whatever else it was comes again.
            if not attempts_left:
                raise
    raise AssertionError("the last attempt gives or raises")


def run(args, role, group, expected):
    """One group in one role. Gives the cases that were seen and those that are still not as expected."""
    options = ["--compress"] if group == "compression" or args.compress == "always" else []
    out = args.out / f"{role}-{group}"
    out.mkdir(parents=True, exist_ok=True)
    runner = run_server if role == "server" else run_client
    patience = ["--messages", str(args.messages)] if group != "core" else []
    begin = time.monotonic()
    with open(out / "autobahn.log", "w") as log:
        found = runner(args.binary, options, out, log, ["--group", group, *patience])
    counts = {}
    for outcome in found.values():
        counts[outcome] = counts.get(outcome, 0) + 1
    shown = ", ".join(f"{outcome} {counts[outcome]}" for outcome in sorted(counts))
    print(f"{role} {group} {' '.join(options)}: {shown} of {len(found)}, {time.monotonic() - begin:.0f} s", flush=True)

    wrong = []
    first_tries = unexpected(expected, role, found)
    for number, (case, outcome, wanted) in enumerate(first_tries):
        if number >= args.retries:
            wrong.append((case, outcome, wanted))
            continue
        again = out / f"again-{case}"
        again.mkdir(exist_ok=True)
        with open(again / "autobahn.log", "w") as log:
            second = runner(args.binary, options, again, log, ["--cases", case, *patience])[case]
        if second == wanted:
            print(f"  second try alone: {case} was {outcome}, then {second} as expected", flush=True)
        else:
            wrong.append((case, second, wanted))
    for case, outcome, wanted in wrong:
        print(f"  NOT AS EXPECTED: {case} is {outcome}, expected {wanted}; reports in {out}", flush=True)
    return wrong


def self_test():
    """The judge itself."""
    good = '[[case]]\nid = "7.1.6"\nrole = "both"\noutcome = "INFORMATIONAL"\nreason = "why"\n'
    expected = load_reasons(good)
    assert expected == {("server", "7.1.6"): "INFORMATIONAL", ("client", "7.1.6"): "INFORMATIONAL"}
    assert unexpected(expected, "server", {"1.1.1": "OK", "7.1.6": "INFORMATIONAL"}) == []
    # A needless entry, another outcome than stated, a failure, a case that did not run.
    found = unexpected(expected, "client", {"1.1.1": "FAILED", "7.1.6": "OK", "2.1": "MISSING"})
    assert found == [("1.1.1", "FAILED", "OK"), ("7.1.6", "OK", "INFORMATIONAL"), ("2.1", "MISSING", "OK")]
    for bad in (good + good, good.replace("why", " "), good.replace("INFORMATIONAL", "OK"), good + "x = 1\n",
                good.replace("both", "all"), "[[other]]\n"):
        try:
            load_reasons(bad)
        except RunError:
            continue
        raise AssertionError(f"taken: {bad}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=lambda p: str(pathlib.Path(p).resolve()))
    parser.add_argument("--role", nargs="+", choices=ROLES, default=ROLES)
    parser.add_argument("--group", nargs="+", choices=list(autobahn.GROUPS), default=list(autobahn.GROUPS))
    parser.add_argument("--compress", choices=("always", "auto"), default="auto")
    parser.add_argument("--messages", type=int, default=1000, help="per case of sections 9.7, 9.8, 12 and 13")
    parser.add_argument("--retries", type=int, default=20, help="at most so many cases of a group are tried again")
    parser.add_argument("--out", type=pathlib.Path, help="for reports and logs; a temporary folder if absent")
    args = parser.parse_args()
    self_test()
    if args.out is None:
        args.out = pathlib.Path(tempfile.mkdtemp(prefix="websocat-autobahn-"))
    args.out = args.out.resolve()
    try:
        expected = load_reasons(REASONS.read_text())
        autobahn.setup(autobahn.default_venv())
        wrong, ids = 0, set()
        for group in args.group:
            for role in args.role:
                wrong += len(run(args, role, group, expected))
                ids |= {(role, case) for case in outcomes(args.out / f"{role}-{group}")}
        if set(args.group) == set(autobahn.GROUPS):
            # An entry for a case that does not exist would stay for ever.
            for role, case in sorted(set(expected) - ids):
                if role in args.role:
                    wrong += 1
                    print(f"  NOT AS EXPECTED: {REASONS.name} has {case} as {role}, which no group has")
    except (RunError, autobahn.RunError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    print(f"conformance: {'all as expected' if not wrong else f'{wrong} not as expected'}; reports in {args.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
