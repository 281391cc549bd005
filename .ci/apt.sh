# shellcheck shell=bash
# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Packages of any Debian release, fetched and not installed. Sourced at the root of the repository.

cache=$PWD/.cache

say() { printf '\n== %s\n' "$*"; }

# apt for one Debian release, with sources and lists of its own: the system's are not changed.
apt_for() {
    local state=$cache/apt/$1
    shift
    apt-get -q -o "Dir::Etc::SourceList=$state/sources.list" -o "Dir::Etc::SourceParts=$state/none" \
        -o Dir::Etc::Preferences=- -o "Dir::Etc::PreferencesParts=$state/none" -o "Dir::State=$state/state" \
        -o Dir::State::Status=/var/lib/dpkg/status -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root \
        -o Acquire::Languages=none "$@"
}

# The URL from which this machine gets its own packages; empty without Debian's lists.
find_mirror() {
    local own
    # shellcheck source=/dev/null
    own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt-get fills this in, not the shell
    apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' "Codename: $own" | sed -n 1p
}

# The release, its source packages too, comes from that URL.
write_sources() {
    local release=$1 state=$cache/apt/$1 url type
    url=$(find_mirror)
    [ -n "$url" ] || { echo "no Debian among this machine's package sources: run apt-get update" >&2; return 1; }
    mkdir -p "$state/none" "$state/state/lists/partial" "$state/cache/archives/partial"
    for type in deb deb-src; do
        echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $url $release main"
    done >"$state/sources.list"
}
