#!/usr/bin/env python3
"""Black-box tests of a built binary against Python websockets, raw sockets, and programs by others.

    interop/run.py --binary target/release/websocat            all cases
    interop/run.py --binary … exit_status close_with_a_code     subjects or cases by name; 'leak*' works too
    interop/run.py --list                                       names and what they stand for
    interop/run.py --self-test                                  the harness against itself, without a binary

One line per case, then `interop: N ok, M failed`. Exit status 0 if nothing failed, 1 otherwise, 2 for a wrong call.
Needs Python 3.11 and the package `websockets`; install.sh installs the other programs. A case whose program is missing
fails; with WEBSOCAT_ALLOW_SKIP=1 it is skipped. Either way it is printed.
"""

import argparse
import fnmatch
import importlib
import os
import pathlib
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from importlib import metadata

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402
import programs  # noqa: E402

SKIPPED = 77


class Running:
    """A case in its own process and session."""

    def __init__(self, case):
        self.case = case
        self.log = tempfile.TemporaryFile()
        self.folder = tempfile.mkdtemp(prefix="interop-")
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            self._child()
        self.handle = os.pidfd_open(self.pid)

    def _child(self):
        os.setsid()
        harness.usual_signals()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(self.log.fileno(), 1)
        os.dup2(self.log.fileno(), 2)
        code = 1
        try:
            programs.require(self.case.needs)
            os.chdir(self.folder)
            self.case.function()
            code = 0
        except harness.Skip as reason:
            print(reason)
            code = SKIPPED
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _remove_folder(self):
        """A browser that is being killed may still write for a moment, so that one attempt is not enough."""
        deadline = time.monotonic() + 5
        while os.path.exists(self.folder) and time.monotonic() < deadline:
            shutil.rmtree(self.folder, ignore_errors=True)
            if os.path.exists(self.folder):
                time.sleep(0.05)

    def finish(self):
        """Kills what is left of it; returns the result and what it printed."""
        late = time.monotonic() - self.started >= self.case.timeout
        ended, wait_status = os.waitpid(self.pid, os.WNOHANG)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if not ended:
            _, wait_status = os.waitpid(self.pid, 0)
        os.close(self.handle)
        self._remove_folder()
        self.log.seek(0)
        text = self.log.read().decode("utf-8", "replace")
        code = os.waitstatus_to_exitcode(wait_status)
        if not ended and late:
            text += f"not finished within {self.case.timeout} s\n"
        return {0: "ok", SKIPPED: "skip"}.get(code, "FAIL") if ended else "FAIL", text


def run(cases, jobs, verbose):
    """Runs all; what failed gets one more try alone, for cases that a crowded machine was too slow for, and is named."""
    counts, failed = run_once(cases, jobs, verbose)
    if failed and jobs > 1:
        print(f"once more, one at a time: {len(failed)} that failed", flush=True)
        again, still = run_once(failed, 1, True)
        for result in again:
            counts[result] += again[result]
        counts["FAIL"] -= len(failed)
        late = [f"{c.subject}.{c.name}" for c in failed if c not in still]
        if late:
            print(f"only at the second try: {', '.join(late)}")
    skipped = f", {counts['skip']} skipped" if counts["skip"] else ""
    print(f"interop: {counts['ok']} ok, {counts['FAIL']} failed{skipped}")
    return 1 if counts["FAIL"] or not counts["ok"] else 0


def run_once(cases, jobs, verbose):
    counts, failed = {"ok": 0, "FAIL": 0, "skip": 0}, []
    waiting, running = list(cases), []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(Running(waiting.pop(0)))
        limit = min(r.started + r.case.timeout for r in running) - time.monotonic()
        ready, _, _ = select.select([r.handle for r in running], [], [], max(0, limit))
        now = time.monotonic()
        for item in [r for r in running if r.handle in ready or now - r.started >= r.case.timeout]:
            running.remove(item)
            result, text = item.finish()
            counts[result] += 1
            if result == "FAIL":
                failed.append(item.case)
            last = text.strip().splitlines()[-1:] or [""]
            note = "" if result == "ok" else f": {last[0]}"
            print(f"{result:4} {item.case.subject}.{item.case.name} {now - item.started:.2f} s{note}", flush=True)
            if verbose or result == "FAIL":
                print("".join(f"     | {line}\n" for line in text.splitlines()), end="", flush=True)
    return counts, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the program under test")
    parser.add_argument("--list", action="store_true", help="only list the cases")
    parser.add_argument("--self-test", action="store_true", help="run the harness against itself")
    parser.add_argument("--jobs", type=int, default=4, help="cases at a time (default: 4; most of them wait)")
    parser.add_argument("--verbose", action="store_true", help="show what cases print, also when they are fine")
    parser.add_argument("names", nargs="*", metavar="NAME", help="subjects or cases, with * and ?; default: all")
    args = parser.parse_args()

    if args.self_test:
        importlib.import_module("selftest")
    else:
        for file in sorted((HERE / "cases").glob("*.py")):
            importlib.import_module(f"cases.{file.stem}")
    chosen = list(harness.CASES.values())
    for name in args.names:
        if not any(fnmatch.fnmatch(c.name, name) or fnmatch.fnmatch(c.subject, name) for c in chosen):
            parser.error(f"no case or subject is called {name}; see --list")
    if args.names:
        chosen = [c for c in chosen if any(fnmatch.fnmatch(x, n) for n in args.names for x in (c.name, c.subject))]
    if args.list:
        for c in chosen:
            print(f"{c.subject}.{c.name}: {c.row}")
        return 0
    if not args.self_test:
        if not args.binary or not os.access(args.binary, os.X_OK):
            parser.error("--binary has to name the built program")
        harness.SETTINGS["binary"] = os.path.abspath(args.binary)
    print(f"uses Python {sys.version.split()[0]}, package websockets {metadata.version('websockets')}", flush=True)
    for name in sorted({name for c in chosen for name in c.needs}):
        print(f"uses {name}: {programs.version(name) or 'MISSING'}", flush=True)
    return run(chosen, args.jobs, args.verbose)


if __name__ == "__main__":
    sys.exit(main())
