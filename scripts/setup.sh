#!/usr/bin/env bash
# Prepares a fresh machine that has Python 3.11+, make and apt (or a Chromium): environment, packages, browser.
# Usage: scripts/setup.sh [run|dev|bench]   run: what users need; dev: tests too; bench: benchmarks too
# Safe to call again: it does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-run}

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo "$@"
  else return 1
  fi
}

apt_updated=
apt_install() {
  command -v apt-get >/dev/null || return 1
  if [ -z "$apt_updated" ]; then
    as_root apt-get update -q >/dev/null || return 1
    apt_updated=1
  fi
  say "installing $* with apt"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$@" >/dev/null
}

find_python() {
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  say "Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3"
  exit 2
}

find_uv() {
  if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then
    command -v uv
    return
  fi
  local tools=.cache/tools
  if [ ! -x "$tools/bin/uv" ]; then
    say "installing uv into $tools"
    if ! "$python" -m venv "$tools" >/dev/null 2>&1; then
      rm -rf "$tools"
      apt_install python3-venv || { say "python3 -m venv does not work; install python3-venv"; exit 2; }
      "$python" -m venv "$tools"
    fi
    "$tools/bin/python" -m pip install -q --disable-pip-version-check uv
  fi
  echo "$tools/bin/uv"
}

have_browser() {
  .venv/bin/python - <<'PY' 2>/dev/null
from drivers.session import find_browser
find_browser(None)
PY
}

python=$(find_python)
uv=$(find_uv)
groups=(--no-default-groups)
case $purpose in
  run) ;;
  dev) groups+=(--group dev) ;;
  bench) groups+=(--group dev --group bench) ;;
  *) say "unknown purpose '$purpose': run, dev or bench"; exit 2 ;;
esac

# The stamp says what the environment was made from; "run" is satisfied by anything more.
wanted="$purpose $(cat pyproject.toml uv.lock | cksum)"
if [ ! -x .venv/bin/python ] || ! grep -qsxF "$wanted" .venv/.nerv-setup; then
  say "installing Python packages into .venv"
  UV_PYTHON_DOWNLOADS=never "$uv" sync --quiet --frozen --inexact --python "$python" "${groups[@]}"
  echo "$wanted" >>.venv/.nerv-setup
fi

if ! have_browser; then
  say "no Chromium found"
  apt_install chromium || .venv/bin/python -m playwright install chromium \
    || { say "install a Chromium: 'apt install chromium' or '.venv/bin/playwright install chromium'"; exit 2; }
  have_browser || { say "a Chromium was installed, but it is not found"; exit 2; }
fi

if [ "$purpose" != run ]; then
  # The tests drive real front ends, some of which come from npm.
  command -v npm >/dev/null || apt_install nodejs npm || say "npm is missing: tests of npm front ends will fail"
fi
if [ "$purpose" = bench ]; then
  command -v nats-server >/dev/null || [ -x /usr/sbin/nats-server ] || apt_install nats-server \
    || say "nats-server is missing: the bus benchmark will leave NATS out"
fi
