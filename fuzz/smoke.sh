#!/usr/bin/env bash
# Runs every fuzz target for a while, a few at a time: `bash fuzz/smoke.sh [SECONDS]`, 15 when not given.
#
# Installs cargo-fuzz if there is none, builds all targets together into `fuzz` below the target directory, and starts
# each from its corpus. New inputs go to a temporary folder, so that nothing is left in the repository. An input that
# breaks a target is kept below the target directory, and the last lines say how to run it again; the status is 1 then.
set -euo pipefail

seconds=${1:-15}
cargo_fuzz=0.13.2
target=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "${BASH_SOURCE[0]}")/../target}")/fuzz
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The stable toolchain has the sanitizers, too.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$target

if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "installing cargo-fuzz $cargo_fuzz"
  cargo install --quiet --locked --debug --target-dir "$target/cargo-fuzz" "cargo-fuzz@$cargo_fuzz"
fi
host=$(rustc -vV | sed -n 's/^host: //p')
# cargo fuzz knows no --locked; without this a lock file that is out of date would be changed in silence.
cargo fetch --quiet --locked --target "$host" --manifest-path fuzz/Cargo.toml ||
  { echo "renew fuzz/Cargo.lock: cargo fetch --manifest-path fuzz/Cargo.toml"; exit 1; }
cargo fuzz build --target-dir "$target"
programs=$target/$host/release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

run() { # TARGET: one line for it, and its last words if it failed
  local name=$1 found=$target/artifacts/$1 log=$scratch/$1.log
  rm -rf "$found"
  mkdir -p "$scratch/corpus/$name" "$found"
  # The stack stands in libFuzzer's report.
  if RUST_BACKTRACE=0 "$programs/$name" -max_total_time="$seconds" -timeout=20 -print_final_stats=1 \
    -artifact_prefix="$found/" "$scratch/corpus/$name" "fuzz/corpus/$name" >"$log" 2>&1; then
    echo "ok   $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs," \
      "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1) edges"
    return
  fi
  {
    echo "FAIL $name"
    grep -vE '^(#|stat::)' "$log" | tail -n 60 | sed 's/^/     | /'
    for input in "$found"/*; do
      [ ! -e "$input" ] || echo "     reproduce: RUSTC_BOOTSTRAP=1 cargo fuzz run $name $input"
    done
  } >"$scratch/$name.failed"
  # In one piece, so that two of them do not mix.
  cat "$scratch/$name.failed"
  return 1
}
export -f run
export seconds target programs scratch

# xargs goes on after a failure and then fails itself.
if ! cargo fuzz list | xargs -P "$(nproc)" -I NAME bash -c 'run NAME'; then
  echo "fuzz: FAILED: $(cd "$scratch" && ls ./*.failed | sed 's,./\(.*\).failed,\1,' | tr '\n' ' ')"
  exit 1
fi
