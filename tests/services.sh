#!/usr/bin/env bash
# Brings what the suite and the bench need beside Python packages: MariaDB's server, Chromium, Chinese and emoji fonts,
# wrk. Installs with apt where it may; else says what is missing, and fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/apt.sh
PATH=$PATH:/usr/sbin:/usr/local/sbin

missing() { # one Debian package for each thing that is not here
    command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null || echo mariadb-server-core
    # mariadb-install-db calls it; the server's package does not bring it along
    command -v my_print_defaults >/dev/null || echo mariadb-client-core
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
        command -v google-chrome >/dev/null || echo chromium
    if ! command -v fc-list >/dev/null; then
        echo fontconfig fonts-noto-cjk fonts-noto-color-emoji
    else
        [ -n "$(fc-list ':lang=zh-cn')" ] || echo fonts-noto-cjk
        [ -n "$(fc-list 'Noto Color Emoji')" ] || echo fonts-noto-color-emoji
    fi
    command -v wrk >/dev/null || echo wrk
}

packages=$(missing)
[ -n "$packages" ] || exit 0
# shellcheck disable=SC2086  # a list
apt_install $packages || true
packages=$(missing)
[ -z "$packages" ] || {
    echo "Missing, and not installable from here: $(echo $packages)" >&2
    echo "(names of Debian packages; install them or what your system calls them, and run this again)" >&2
    exit 1
}
