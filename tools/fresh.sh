#!/bin/bash
# The two commands of the README on a fresh machine: a minimal Debian 12, as root and as a plain user.
#
#     tools/fresh.sh CACHE [COMMAND …]
#
# CACHE is a directory outside the checkout that keeps the minimal system between runs (200 MB). Without
# a COMMAND, `make demo` and `make test` are run; each command runs in a clean clone of HEAD that has
# neither a virtual environment nor a cache. apt and pip are configured inside as outside, but for stored
# passwords. Needs root and Debian; installs debootstrap if it is missing. Everything runs in mount and
# process namespaces of its own, so that nothing is left running or mounted.
set -euo pipefail

suite=bookworm
packages=ca-certificates,git,make,perl,python3,python3-venv
checkout=$(cd "$(dirname "$0")/.." && pwd)

die() { echo "fresh: $*" >&2; exit 1; }

[ $# -ge 1 ] || die "usage: tools/fresh.sh CACHE [COMMAND …]"
[ "$(id -u)" = 0 ] || die "needs root: debootstrap makes a system, and namespaces hold it"
cache=$(realpath -m "$1")
shift
case "$cache/" in "$checkout"/*) die "CACHE must lie outside the checkout" ;; esac
[ $# -gt 0 ] || set -- "make demo" "make test"

command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap \
    || die "debootstrap cannot be installed"

# --- a minimal system, once -------------------------------------------------------------------

root=$cache/$suite
if [ ! -e "$root.ready" ]; then
    mkdir -p "$cache"
    rm -rf --one-file-system "$root"
    # the mirror that apt uses here
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' \
        | awk -v suite=$suite '$2 == suite { print $1; exit }')
    [ -n "$mirror" ] || die "apt here knows no mirror of $suite"
    echo "fresh: making a minimal $suite"
    debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" \
        >"$cache/debootstrap.log" 2>&1 || die "debootstrap failed, see $cache/debootstrap.log"
    chroot "$root" useradd --create-home --shell /bin/bash plain
    touch "$root.ready"
fi

# --- configured as here -----------------------------------------------------------------------

rm -rf "$root"/etc/apt/sources.list*
for part in sources.list sources.list.d preferences.d keyrings trusted.gpg.d; do
    [ ! -e "/etc/apt/$part" ] || cp -a "/etc/apt/$part" "$root/etc/apt/"
done
mkdir -p "$root/etc/apt/apt.conf.d"
apt-config dump | grep -iE '^Acquire::(http|https|Check|Retries|AllowInsecure)' \
    >"$root/etc/apt/apt.conf.d/90outside" || true
cp -a /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true

# pip's settings of every level as one file; folders that they name are shown inside, read-only
settings=$root/etc/pip.conf
folders=$cache/folders
: >"$settings"
: >"$folders"
if command -v pip3 >/dev/null; then
    pip3 config list 2>/dev/null | sed -nE "s/^(global|install|:env:)\.([a-z-]+)='(.*)'$/\2 = \3/p" \
        | awk -F' = ' '!seen[$1]++ { if (NR == 1) print "[global]"; print }' >"$settings"
    { grep -oE '(file://)?/[^ ]+' "$settings" || true; } | sed 's,^file://,,' | while read -r path; do
        # an index points to files beside it, so its whole tree is shown: /opt/x of /opt/x/simple
        tree=$(cut -d/ -f1-3 <<<"$path")
        case "$tree" in /etc/*|/usr/*|/root/*) ;; *) [ ! -d "$tree" ] || echo "$tree" ;; esac
    done | sort -u >"$folders"
fi

# --- run --------------------------------------------------------------------------------------

clone=$cache/clone
rm -rf "$clone"
git -c advice.detachedHead=false clone -q --no-local "$checkout" "$clone"

inside() { # inside USER COMMAND: in a new mount and process namespace, in a clean clone
    local user=$1 command=$2
    FRESH_ROOT=$root FRESH_CLONE=$clone FRESH_FOLDERS=$folders FRESH_USER=$user FRESH_COMMAND=$command \
        unshare --mount --pid --fork --kill-child=KILL bash -euc '
            mount -t proc proc "$FRESH_ROOT/proc"
            mount -t tmpfs tmpfs "$FRESH_ROOT/tmp" -o mode=1777
            mount --rbind /dev "$FRESH_ROOT/dev"
            mount -t tmpfs tmpfs "$FRESH_ROOT/dev/shm" -o mode=1777
            while read -r folder; do
                mkdir -p "$FRESH_ROOT$folder"
                mount --bind -o ro "$folder" "$FRESH_ROOT$folder"
            done <"$FRESH_FOLDERS"
            home=$(awk -F: -v user="$FRESH_USER" "\$1 == user { print \$6 }" "$FRESH_ROOT/etc/passwd")
            place=$home/arvo-plpg
            if [ ! -d "$FRESH_ROOT$place" ]; then
                cp -r "$FRESH_CLONE" "$FRESH_ROOT$place"
                chroot "$FRESH_ROOT" chown -R "$FRESH_USER:" "$place"
            fi
            exec env -i HOME="$home" USER="$FRESH_USER" LANG=C.UTF-8 \
                PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                chroot --userspec="$FRESH_USER:" "$FRESH_ROOT" \
                /bin/bash -c "cd \"\$HOME/arvo-plpg\" && $FRESH_COMMAND" </dev/null
        '
}

failed=0
summary=()
for user in root plain; do
    home=/home/plain
    [ $user != root ] || home=/root
    rm -rf --one-file-system "${root:?}$home/arvo-plpg" "$root$home/.cache" "$root"/var/tmp/arvo-plpg-*
    before=$(stat -c '%a' "$root$home")
    for command; do
        echo "fresh: $user: $command"
        begin=$(date +%s.%N)
        result=ok
        inside "$user" "$command" || { result="FAILED ($?)"; failed=1; }
        seconds=$(echo "$(date +%s.%N) $begin" | awk '{ printf "%.1f", $1 - $2 }')
        summary+=("$user: $command: $result, $seconds s")
    done
    [ "$(stat -c '%a' "$root$home")" = "$before" ] || { summary+=("$user: mode of $home changed"); failed=1; }
done
printf 'fresh: %s\n' "${summary[@]}"
exit $failed
