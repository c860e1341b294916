#!/usr/bin/env bash
# Installs the programs that the cases in cases/ need, where they are not there yet, and prints which ones it found.
#
#     bash interop/install.sh            everything
#     bash interop/install.sh --node-path   only prints the folder of Node's packages
#
# Debian packages need root; the Node package `ws` goes into a cache folder. Run again, it does nothing. What cannot be
# had is printed, and the status is 1: the cases in want of it fail, unless WEBSOCAT_ALLOW_SKIP=1.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# A new lock file is a new folder.
folder=${XDG_CACHE_HOME:-$HOME/.cache}/websocat-interop/node-$(sha256sum <"$here/node/package-lock.json" | cut -c1-12)
if [ "${1:-}" = --node-path ]; then
  echo "$folder/node_modules"
  exit
fi

wanted=()
need() { # COMMAND PACKAGE...: the packages that bring this command
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || wanted+=("${@:2}")
}
need node nodejs
need npm npm
need chromium chromium
need chromedriver chromium-driver
need nginx nginx-light
need socat socat
need curl curl
need openssl openssl
need strace strace
need ip iproute2
need nft nftables
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || wanted+=(libnginx-mod-stream)

missing=0
if [ ${#wanted[@]} -gt 0 ]; then
  echo "installing ${wanted[*]}"
  # Debian starts the nginx service on port 80 when it is installed; a policy of "no" keeps it from that.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ] && (printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy) 2>/dev/null; then
    trap 'rm -f $policy' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  patient=(-o Acquire::Retries=5 -o DPkg::Lock::Timeout=300)
  { apt-get update -qq "${patient[@]}" &&
    apt-get install -qq -y "${patient[@]}" --no-install-recommends "${wanted[@]}" >/dev/null; } || missing=1
fi

if [ ! -e "$folder/node_modules/ws/package.json" ]; then
  echo "installing the Node package ws into $folder"
  mkdir -p "$folder" && cp "$here"/node/package*.json "$folder" &&
    npm ci --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" || missing=1
fi

for name in node chromium chromedriver nginx socat curl openssl strace ip nft; do
  command -v $name >/dev/null || [ -x /usr/sbin/$name ] || { echo "MISSING: $name"; missing=1; }
done
[ -e "$folder/node_modules/ws/package.json" ] || { echo "MISSING: the Node package ws"; missing=1; }
exit $missing
