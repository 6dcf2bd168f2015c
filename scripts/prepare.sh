# SPDX-License-Identifier: GPL-2.0-or-later
# Functions of ./run and ./check: packages and build.  Sourced from the top of the tree.

packages="gcc meson ninja-build pkg-config python3 libglib2.0-dev libpixman-1-dev libfdt-dev
libzydis-dev libjson-c-dev libseccomp-dev check libc6-dev busybox-static cpio gzip seabios
acpica-tools kmod binutils e2fsprogs"

# The packages of $packages that are not installed.
missing_packages() {
    local p
    for p in $packages; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || echo "$p"
    done
}

# apt-get as root or by sudo, without questions.
as_root_apt() {
    if [ "$(id -u)" -eq 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive apt-get "$@" 2>/dev/null ||
            sudo env DEBIAN_FRONTEND=noninteractive apt-get "$@"
    fi
}

prepare_packages() {
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    echo "installing $missing" >&2
    # shellcheck disable=SC2086
    as_root_apt -qq install -y --no-install-recommends $missing </dev/null >&2 2>/dev/null ||
        { as_root_apt -qq update </dev/null >&2 &&
            as_root_apt -qq install -y --no-install-recommends $missing </dev/null >&2; } ||
        { echo "these packages are needed and could not be installed: $missing" >&2; return 1; }
}

# prepare_build DIR [MESON-OPTION...]: configure once, then build what changed.  Quiet unless it fails.
prepare_build() {
    local log
    log=$(mktemp)
    # A python3 that is a version manager's shim may lack meson's modules: use Debian's.
    [ -e "$1/build.ninja" ] || PATH=/usr/bin:$PATH meson setup "$@" </dev/null >"$log" 2>&1 ||
        { cat "$log" >&2; rm -f "$log"; return 1; }
    ninja -C "$1" </dev/null >"$log" 2>&1 || { tail -n 60 "$log" >&2; rm -f "$log"; return 1; }
    rm -f "$log"
}
