#!/usr/bin/env bash
# Where a workload's time and system calls go: `bash bench/profile.sh WORKLOAD [SECONDS] [BINARY]`.
#
# Workloads are those of `cargo xtask bench` that have a server (xtask/src/bench/workloads.rs), and `start`. Prints what
# the generator measured, the functions that perf found running (cpu-clock, so that it works in virtual machines), the
# system calls that strace counted in a run of its own, and for a third run the instructions of the program itself by
# callgrind. Needs linux-perf, strace, valgrind. Nothing else should run meanwhile.
set -euo pipefail

workload=${1:?which workload?}
seconds=${2:-3}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=$(realpath "${3:-$root/target/release/websocat}")
load=$(realpath "${WEBSOCAT_BENCH_LOAD:-$root/bench/target/release/load}")
scratch=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT
cd "$scratch"

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
backend=$(free_port)
while [ "$backend" = "$port" ]; do backend=$(free_port); done

# What serves, and what the generator is told.
case $workload in
  echo-1x1) server=("ws-l:127.0.0.1:$port" mirror:) generator=(echo --connections 1 --inflight 1 --size 32) ;;
  echo-64x1) server=("ws-l:127.0.0.1:$port" mirror:) generator=(echo --connections 64 --inflight 1 --size 32) ;;
  echo-8x64) server=("ws-l:127.0.0.1:$port" mirror:) generator=(echo --connections 8 --inflight 64 --size 32) ;;
  echo-64k) server=("ws-l:127.0.0.1:$port" mirror:) generator=(echo --connections 4 --inflight 4 --size 65536) ;;
  connect) server=("ws-l:127.0.0.1:$port" mirror:) generator=(connect) ;;
  tcp-tcp) server=("tcp-l:127.0.0.1:$port" "tcp:127.0.0.1:$backend") generator=(transfer --kind tcp-tcp) ;;
  ws-tcp-64k)
    server=("ws-l:127.0.0.1:$port" "tcp:127.0.0.1:$backend") generator=(transfer --kind ws-tcp --size 65536) ;;
  ws-tcp-1k) server=("ws-l:127.0.0.1:$port" "tcp:127.0.0.1:$backend") generator=(transfer --kind ws-tcp --size 1024) ;;
  tcp-ws-64k)
    server=(-B 65536 "tcp-l:127.0.0.1:$port" "ws://127.0.0.1:$backend/")
    generator=(transfer --kind tcp-ws --size 65536) ;;
  tcp-ws-1k)
    server=(-B 1024 "tcp-l:127.0.0.1:$port" "ws://127.0.0.1:$backend/")
    generator=(transfer --kind tcp-ws --size 1024) ;;
  prefixed-64k)
    server=("lengthprefixed:tcp-l:127.0.0.1:$port" "lengthprefixed:tcp:127.0.0.1:$backend")
    generator=(transfer --kind tcp-tcp --framing length-prefixed --size 65536) ;;
  lines-64k)
    server=("lines:tcp-l:127.0.0.1:$port" "lines:tcp:127.0.0.1:$backend")
    generator=(transfer --kind tcp-tcp --framing lines --size 65536) ;;
  start) ;;
  *) echo "unknown workload: $workload" && exit 2 ;;
esac
[ "${generator[0]:-}" != transfer ] || generator+=(--listen "$backend")

listens() { # waits until somebody listens on the port of the server
  local hex
  hex=$(printf ':%04X 00000000:0000 0A' "$port")
  for _ in $(seq 500); do
    grep -q "$hex" /proc/net/tcp && return
    sleep 0.02
  done
  echo "the server does not listen" && return 1
}

serve() { # COMMAND...: starts it in front of the program; sets $pid, that of the program where COMMAND is `env`
  "$@" "$binary" -b "${server[@]}" 2>server.log &
  pid=$!
  started+=("$pid")
  listens
}

finish() { # ends the server as a user would, so that what stands in front of it prints its report
  local program
  program=$(pgrep -P "$pid" || echo "$pid")
  kill -INT $program 2>/dev/null || true
  wait "$pid" || true
}

drive() { "$load" "${generator[@]}" --port "$port" --pid "$pid" --seconds "$1"; }

report() { perf report -i perf.data --stdio --no-children -g none "$@" 2>/dev/null | grep -vE '^(#|$)'; }

top_functions() {
  report --percent-limit 1 -s dso,symbol | cut -c1-140
}

if [ "$workload" = start ]; then
  command=("$binary" -b literal:abc writefile:/dev/null)
  echo "-- generator" && "$load" start --runs 200 -- "${command[@]}"
  echo "-- perf cpu-clock"
  perf record -q -o perf.data -F 20000 -e cpu-clock -- "$load" start --runs 200 -- "${command[@]}" >/dev/null
  report -s comm,dso | sed -n 1,12p
  top_functions | sed -n 1,25p
  echo "-- strace -c" && strace -f -c -o calls "${command[@]}" && head -n 25 calls
  echo "-- callgrind" && valgrind --tool=callgrind --callgrind-out-file=out "${command[@]}" 2>valgrind.log
  callgrind_annotate --inclusive=yes out 2>/dev/null | grep -E '^ *[0-9,]+ ' | cut -c1-150 | sed -n 1,40p
  exit
fi

serve env
echo "-- generator"
drive "$seconds"
echo "-- perf cpu-clock, program $workload"
perf record -q -o perf.data -F 5000 -e cpu-clock -p "$pid" -- sleep "$seconds" & recorder=$!
drive "$((seconds + 1))" >/dev/null
wait "$recorder"
report -s dso | sed -n 1,5p
top_functions | sed -n 1,30p
finish

echo "-- strace -c"
serve strace -f -c -o calls
drive 1
finish
head -n 15 calls

echo "-- callgrind"
serve valgrind --tool=callgrind --callgrind-out-file=out
drive 1
finish
callgrind_annotate out 2>/dev/null | grep -E '^ *[0-9,]+ ' | cut -c1-150 | sed -n 1,30p
