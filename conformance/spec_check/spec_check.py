#!/usr/bin/env python3
"""Black-box check of a websocat-like binary against the spec tables.

Parts:
  options    every option is listed in the help text and accepted by the parser
  prefixes   every endpoint and overlay prefix plans (--dump-spec) without error
  functions  a tiny script per scenario function runs and gives the expected output
  function-options (only when asked for)  a value of the wrong type for each key of
             each options map throws, as a sign that the key is known
With --v1 the tables of the first generation are checked too (options, prefixes).
With --area only rows of that area count; the controls always run.

Script directives (comment lines in scenarios/NAME.rhai, "::" in NAME is "."):
  want: TEXT   stdout must contain TEXT (default "ok")     want-err: TEXT   same for stderr
  never: TEXT  stdout and stderr must not contain TEXT     rc: N, stdin: TEXT
Scripts run in an empty directory of their own.

Every part starts with a control: a made-up name has to be refused.
Exit status is 0 only if nothing is missing.
"""
import argparse, csv, os, re, signal, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
AREAS = ["foundation", "streams", "sockets", "websocket", "tls-http", "scripts", "v1"]


def table(path):
    with open(path, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


class Checker:
    def __init__(self, args, tmp):
        self.a, self.tmp, self.bad, self.totals = args, tmp, [], []
        self.script = os.path.join(tmp, "nothing.rhai")
        with open(self.script, "w") as f:
            f.write("dummy_task()\n")
        with open(os.path.join(tmp, "file"), "w") as f:  # for options that name an existing file
            f.write("x\n")

    def rows(self, name):
        """Rows of a table in the chosen areas; newer v1 rows only if upstream's default build has them."""
        return [r for r in table(os.path.join(self.a.spec, name)) if (not self.a.area or r["area"] in self.a.area)
                and (r.get("source", "seed") == "seed" or "only in builds with" not in r["notes"])]

    def run(self, argv, stdin=b"", cwd=None):
        """Returns (rc, stdout, stderr); rc is None when the time limit was hit."""
        env = dict(os.environ, RUST_BACKTRACE="0", RUST_LIB_BACKTRACE="0")
        p = subprocess.Popen([self.a.binary] + argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=env, cwd=cwd or self.tmp, start_new_session=True)
        try:
            o, e = p.communicate(stdin, self.a.timeout)
            rc = p.returncode
        except subprocess.TimeoutExpired:
            rc = o = e = None
        finally:  # nothing the script started may stay behind
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except OSError:
                pass
        if rc is None:
            o, e = p.communicate()
        return rc, o.decode("utf-8", "replace"), e.decode("utf-8", "replace")

    def report(self, label, results):
        if self.a.only:
            results = [r for r in results if re.search(self.a.only, r[0])]
        for name, why in results:
            if why:
                self.bad.append(name)
                print(f"missing {label}: {name}: {why}")
            elif self.a.verbose:
                print(f"found {label}: {name}")
        good = sum(1 for r in results if not r[1])
        self.totals.append(f"{label} {good}/{len(results)}")

    def control(self, label, refused):
        if not refused:
            self.bad.append("control")
            print(f"control failed: a made-up {label} is accepted, the other results mean little")

    def skip(self, name):
        return bool(self.a.only) and not re.search(self.a.only, name)

    def accepted(self, argv, need_stdout=True, cwd=None):
        """None if fine, otherwise a short reason."""
        rc, o, e = self.run(argv, cwd=cwd)
        if rc == 0 and (o.strip() or not need_stdout):
            return None
        if rc is None:
            return "no end within the time limit"
        if rc == 0:
            return "nothing printed"
        first = [l for l in e.splitlines() if l.strip() and not l.startswith("Using --binary")]
        return f"rc {rc}: {first[0][:150] if first else ''}"

    # -- options ---------------------------------------------------------
    def help_text(self):
        text = ""
        for argv in (["--help"], ["--help=long"], ["--help=full"]):
            rc, o, e = self.run(argv)
            if rc == 0:
                text += o + "\n"
        return text

    def in_help(self, text, token):
        """An option line starts with a dash; the token may be in any place of it."""
        return re.search(r"^\s*(?=-)(?:.*[\s,/|])??" + re.escape(token) + r"(?![\w-])", text, re.M)

    def option_argv(self, row, token, glue):
        """Ways to give one option harmlessly, v4 style (option first)."""
        long, value = row["long"], row["sample"]
        opt = [token] if row["type"] == "flag" else [token + "=" + value] if glue else [token, value]
        special = {
            "help": opt, "version": opt,
            "dump-spec": opt + ["-b", "dummy:", "dummy:"],
            "scenario": opt + [self.script],
            "server": ["--dump-spec"] + opt + ["-b", "1234", "dummy:"],
            "text": ["--dump-spec"] + opt + ["dummy:", "dummy:"],
            "binary": ["--dump-spec"] + opt + ["dummy:", "dummy:"],
            "exec-args": ["--dump-spec", "-b", "devnull:", "exec:true", token, "one", "--two"],
            "compose": opt + ["--dump-spec", "-b", "dummy:", "dummy:", "&", "-b", "dummy:", "dummy:"],
        }
        if long in special:
            return special[long]
        right = "exec:true" if row["group"] == "exec" else "dummy:"
        dump = [] if long.startswith("dump-spec-phase") else ["--dump-spec"]
        return dump + opt + ["-b", "devnull:" if right != "dummy:" else "dummy:", right]

    def options(self):
        text, results = self.help_text(), []
        self.control("option", self.run(["--dump-spec", "--no-such-option-zz", "-b", "dummy:", "dummy:"])[0] != 0)
        for row in self.rows("v4-options.tsv"):
            for token in ["--" + row["long"]] + (["-" + row["short"]] if row["short"] else []):
                if self.skip(token):
                    continue
                why = None if self.in_help(text, token) else "not in the help text"
                quiet = row["long"].startswith("dump-spec-phase") or row["long"] == "scenario"
                for glue in (False, True) if row["type"] != "flag" and token[1] == "-" and row["long"] != "exec-args" else (False,):
                    argv = self.option_argv(row, token, glue)
                    refusal = self.accepted(argv, not quiet)
                    if refusal and row["long"] == "accept-from-fd":  # may also be an error that names the new prefixes
                        _, o, e = self.run(argv)
                        refusal = None if "-fd:" in o + e else refusal
                    why = why or refusal
                results.append((token, why))
        self.report("options", results)

    def v1_options(self):
        text, results = self.help_text(), []
        for row in self.rows("v1-options.tsv"):
            for token in (["--" + row["long"]] if row["long"] else []) + (["-" + row["short"]] if row["short"] else []):
                if self.skip(token):
                    continue
                why = None if self.in_help(text, token) else "not in the help text"
                value = row["sample"]
                opt = [token] if row["type"] == "flag" else [token + "=" + value] if token[1] == "-" else [token, value]
                if row["long"] in ("help", "exec-args"):
                    opt = [token] if row["long"] == "help" else [token, value]
                dump = ["--dump-spec"] if row["context"] and row["long"] != "dump-spec" else []
                why = why or self.accepted(dump + row["context"].split() + opt)
                results.append((token, why))
        self.report("v1-options", results)

    # -- prefixes --------------------------------------------------------
    def prefixes(self):
        self.control("prefix", self.run(["--dump-spec", "-b", "dummy:", "nosuchprefix:x"])[0] != 0)
        results = []
        for name in ("v4-endpoints.tsv", "v4-overlays.tsv"):
            for row in self.rows(name):
                for prefix in row["prefixes"].split():
                    if self.skip(prefix):
                        continue
                    why = None
                    for value in row["sample"].split(" | ") if prefix != "-" else [""]:
                        argv = ["--dump-spec", "-b", "dummy:", prefix + value] + row.get("extra", "").split()
                        why = why or self.accepted(argv)
                    results.append((prefix, why))
        self.report("prefixes", results)

    def v1_prefixes(self):
        results = []
        for name in ("v1-addresses.tsv", "v1-overlays.tsv"):
            for row in self.rows(name):
                for prefix in row["prefixes"].split():
                    if self.skip(prefix):
                        continue
                    spec = prefix + ("" if prefix == "-" else row["sample"])
                    results.append((prefix, self.accepted(["--dump-spec", "-b", "mirror:", spec] + row["extra"].split())))
        self.report("v1-prefixes", results)

    # -- functions -------------------------------------------------------
    def scenario(self, path):
        d = {"want": [], "want-err": [], "never": [], "rc": ["0"], "stdin": []}
        with open(path, encoding="utf-8") as f:
            for key, val in re.findall(r"^// ([a-z-]+): ?(.*)$", f.read(), re.M):
                if key in d:
                    d[key] = [val] if key == "rc" else d[key] + [val]
        with tempfile.TemporaryDirectory(dir=self.tmp) as cwd:
            stdin = "".join(x + "\n" for x in d["stdin"]).encode()
            rc, o, e = self.run(["-x", path], stdin, cwd)
        first = ([l for l in e.splitlines() if "not found" in l] + e.splitlines() + [""])[0][:160]
        if rc is None:
            return "no end within the time limit"
        if str(rc) != d["rc"][-1]:
            return f"rc {rc}, expected {d['rc'][-1]}: {first}"
        for text in d["never"]:
            if text in o or text in e:
                return f"prints {text!r}"
        for text, got, where in [(t, o, "stdout") for t in d["want"] or ["ok"]] + [(t, e, "stderr") for t in d["want-err"]]:
            if text not in got:
                return f"{text!r} is not on {where}, which has {got[:60]!r}; {first}"
        return None

    def functions(self):
        control = os.path.join(self.tmp, "control.rhai")
        with open(control, "w") as f:
            f.write('no_such_function_zz();\nprint_stdout("ok\\n");\ndummy_task()\n')
        self.control("function", self.scenario(control))
        results = []
        for row in self.rows("v4-functions.tsv"):
            name = row["function"]
            if self.skip(name):
                continue
            path = os.path.join(HERE, "scenarios", name.replace("::", ".") + ".rhai")
            results.append((name, self.scenario(path) if os.path.exists(path) else "no scenario script for it"))
        self.report("functions", results)

    def probe(self, call, key):
        """Error text when the first options map of the call gets a map as the value of key, else None."""
        head, _, tail = call.partition("#{")
        body, _, rest = tail.partition("}")
        pairs = [x for x in body.split(", ") if x and not x.startswith(key + ":")] + [key + ": #{}"]
        text = head + "#{" + ", ".join(pairs) + "}" + rest + ';\nprint_stdout("ok\\n");\ndummy_task()\n'
        path = os.path.join(self.tmp, "probe.rhai")
        with open(path, "w") as f:
            f.write(text.replace("EMPTY", "#{}"))
        rc, o, e = self.run(["-x", path])
        return None if rc == 0 and "ok" in o else (o + e).replace(key, "KEY").strip().split("\n")[0]

    def function_options(self):
        calls = {r["function"]: r["call"] for r in table(os.path.join(HERE, "scenarios", "probes.tsv"))}
        results, unknown, chosen = [], {}, {r["function"] for r in self.rows("v4-functions.tsv")}
        for row in table(os.path.join(self.a.spec, "v4-function-options.tsv")):
            fn, key = row["function"], row["option"]
            if fn not in chosen or self.skip(fn + "." + key):
                continue
            if fn not in unknown:
                unknown[fn] = self.probe(calls[fn], "no_such_key_zz")
            got = self.probe(calls[fn], key)
            why = "a wrong type is not noticed" if got is None else "treated like a made-up key" if got == unknown[fn] else None
            results.append((fn + "." + key, why))
        self.report("function-options", results)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--binary", required=True)
    ap.add_argument("--part", choices=["options", "prefixes", "functions", "function-options"], action="append",
                    help="may be repeated; the first three by default")
    ap.add_argument("--v1", action="store_true", help="also check the v1 tables")
    ap.add_argument("--area", choices=AREAS, action="append", help="may be repeated; all by default")
    ap.add_argument("--only", metavar="REGEX", help="only names that match")
    ap.add_argument("--spec", default=os.path.join(HERE, "..", "spec"), help="folder with the tables")
    ap.add_argument("--timeout", type=float, default=60, help="of one run, in seconds; only a hang takes as long")
    ap.add_argument("--verbose", action="store_true", help="list what is found, too")
    args = ap.parse_args()
    args.binary = os.path.abspath(args.binary)
    with tempfile.TemporaryDirectory(prefix="spec-check-") as tmp:
        c = Checker(args, tmp)
        for part in args.part or ["options", "prefixes", "functions"]:
            getattr(c, part.replace("-", "_"))()
            if args.v1 and part in ("options", "prefixes"):
                getattr(c, "v1_" + part)()
    print(", ".join(c.totals))
    return 1 if c.bad else 0


if __name__ == "__main__":
    sys.exit(main())
