#!/bin/sh
# Install both daemons as systemd services, or bring an installation up to this checkout.
# Usage: install.sh [--config FILE] [--prefix DIR] [--dry-run] [--help]
#
#   --config FILE  the configuration to run; without it /etc/hotfit/hotfit.toml stays as it is,
#                  or becomes this checkout's hotfit.toml
#   --prefix DIR   where code and Python packages go (/opt/hotfit)
#   --dry-run      show the steps and take none
#
# Models, keys and buffers go to /var/lib/hotfit, logs to the journal. Asks nothing; a second run
# changes only what differs. An upgrade loses no request: the new code answers beside the old one
# before that ends. When the new code does not come up, the old one goes on or is put back.
# HOTFIT_PYTHON names the Python to make the environment with (python3).
set -eu
umask 022
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
prefix=/opt/hotfit
etc=/etc/hotfit
units=/etc/systemd/system
python=${HOTFIT_PYTHON:-python3}
config=
dry=

complain() {
    echo "install.sh: $*" >&2
}

while [ $# -gt 0 ]; do
    case "$1" in
        --dry-run) dry=yes ;;
        --config | --prefix)
            if [ $# -lt 2 ]; then
                complain "$1: expected a path after it, found nothing."
                exit 2
            fi
            if [ "$1" = --config ]; then config=$2; else prefix=${2%/}; fi
            shift
            ;;
        -h | --help)
            sed -n '2,14s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            complain "expected --config, --prefix, --dry-run or --help, found '$1'."
            exit 2
            ;;
    esac
    shift
done

case "$prefix" in
    /*[!A-Za-z0-9/._-]* | "" | [!/]*)
        complain "--prefix: expected an absolute path of letters, digits and /._- , found '$prefix'."
        exit 2
        ;;
esac
if [ -n "$config" ] && [ ! -f "$config" ]; then
    complain "--config: no such file: $config."
    exit 2
fi

run() {
    if [ -n "$dry" ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

if [ -z "$dry" ]; then
    if [ "$(id -u)" != 0 ]; then
        complain "expected to be run as root, found user $(id -un). --dry-run shows the steps."
        exit 1
    fi
    if ! systemctl show --property=Version >/dev/null 2>&1; then
        complain "systemd does not run here. ./scripts/start.sh works without it."
        exit 1
    fi
fi

# -- code and packages: each release in a folder of its own, named by its content ---------------

digest() {
    sha256sum | cut -c 1-10
}

code_digest() (
    cd "$root"
    find api_service retrain_service shared scripts docs requirements.txt -type f \
        ! -path '*/__pycache__/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | digest
)

version=
if [ -f "$root/pyproject.toml" ]; then
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")-
fi
release=$prefix/releases/$version$(code_digest)
former=$(readlink -e "$prefix/current" 2>/dev/null || true)
nothing="Nothing was started."
[ -z "$former" ] || nothing="Nothing was changed; what ran goes on."
work=$(mktemp -d)
is_new_release=
clean_up() {
    rm -rf "$work"
    [ -z "$is_new_release" ] || rm -rf "$release"
}
trap clean_up EXIT
python_version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || echo none)
venv=$prefix/venvs/py$python_version-$(digest <"$root/requirements.txt")

if ! id hotfit >/dev/null 2>&1; then
    run useradd --system --user-group --home-dir /var/lib/hotfit --no-create-home \
        --shell /usr/sbin/nologin hotfit
fi
run mkdir -p "$prefix/releases" "$prefix/venvs" "$etc"
if [ ! -d "$release" ]; then
    run rm -rf "$prefix/releases/.new"
    run mkdir "$prefix/releases/.new"
    for part in api_service retrain_service shared scripts docs requirements.txt; do
        run cp -R "$root/$part" "$prefix/releases/.new/$part"
    done
    run ln -s "$venv" "$prefix/releases/.new/.venv"
    # Complete before it has its name.
    run mv -T "$prefix/releases/.new" "$release"
    is_new_release=yes
fi
run env HOTFIT_VENV="$venv" "$python" "$release/scripts/setup/environment.py"
if [ ! -e "$venv/hotfit-compiled" ]; then
    # The services may not write there, so what they import is compiled now.
    run "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" || true
    run touch "$venv/hotfit-compiled"
fi
# Before compileall, which would complain of the same with fewer words.
if [ -n "$dry$is_new_release" ] &&
    ! run timeout 120 "$venv/bin/python" "$release/scripts/setup/self_check.py"; then
    complain "the code of $root cannot start. $nothing"
    exit 1
fi
run "$venv/bin/python" -m compileall -q "$release/api_service" "$release/retrain_service" "$release/shared"

# -- configuration: tried where it lies, put in its place when it can be used ---------------------

is_configured=yes
chosen=$etc/hotfit.toml
if [ -n "$config" ]; then
    chosen=$config
elif [ ! -e "$chosen" ]; then
    chosen=$root/hotfit.toml
    if [ ! -e "$chosen" ]; then
        chosen=$root/docs/hotfit.example.toml
        is_configured=
    fi
fi
address=127.0.0.1:5000
if [ -z "$dry" ]; then
    tried=$(realpath "$chosen")
    if ! address=$(cd "$release" && HOTFIT_CONFIG="$tried" HOTFIT_HOME=/var/lib/hotfit \
        "$venv/bin/python" -m api_service --print-address); then
        complain "$chosen cannot be used. $nothing"
        exit 2
    fi
fi

put_config() {
    run cp "$1" "$etc/.hotfit.toml.new"
    run chown root:hotfit "$etc/.hotfit.toml.new"
    run chmod 0640 "$etc/.hotfit.toml.new" # it may hold a database password
    run mv "$etc/.hotfit.toml.new" "$etc/hotfit.toml"
}
former_config=
if ! cmp -s "$chosen" "$etc/hotfit.toml"; then
    if [ -e "$etc/hotfit.toml" ]; then
        run cp -p "$etc/hotfit.toml" "$etc/hotfit.toml.before"
        former_config=$etc/hotfit.toml.before
    fi
    put_config "$chosen"
fi

# -- units: with the paths of this release, so that what runs never meets another one's files ---

mkdir "$work/new" "$work/former"
for unit in "$here"/hotfit*.service "$here"/hotfit*.socket "$here"/hotfit*.timer "$here"/hotfit.target; do
    sed -e "s#/opt/hotfit/current/\.venv/#$venv/#" \
        -e "s#^WorkingDirectory=/opt/hotfit/current#WorkingDirectory=$release#" \
        -e "s#/opt/hotfit#$prefix#g" \
        -e "s#^ListenStream=.*#ListenStream=$address#" \
        "$unit" >"$work/new/$(basename "$unit")"
done

differs() {
    ! cmp -s "$work/new/$1" "$units/$1"
}

put_unit() {
    if [ -n "$dry" ]; then
        echo "would write: $units/$1"
    elif differs "$1"; then
        [ ! -e "$units/$1" ] || cp -p "$units/$1" "$work/former/$1"
        install -m 0644 "$work/new/$1" "$units/$1"
    fi
}

is_active() {
    [ -z "$dry" ] && systemctl is-active --quiet "$1"
}

# What the daemons read once, at their start.
settings=$(cat "$etc/hotfit.toml" "$etc/hotfit.env" 2>/dev/null | digest)
applied=$(cat "$prefix/applied" 2>/dev/null || true)
is_restart_due=
if differs hotfit-api.service || differs hotfit-retrain.service || differs hotfit-api.socket ||
    [ "$applied" != "$settings" ]; then
    is_restart_due=yes
fi
has_new_port=
if differs hotfit-api.socket && [ -e "$units/hotfit-api.socket" ]; then
    has_new_port=yes
fi

# $1 does not come up: bring back what ran before, and end.
go_back() {
    complain "$1 does not come up with the code of $root: journalctl -u $1."
    if [ -z "$former" ]; then
        complain "Nothing ran here before, so there is nothing to go back to."
        exit 1
    fi
    [ -z "$has_new_port" ] || systemctl stop hotfit-api.socket hotfit-api.service
    [ -z "$former_config" ] || put_config "$former_config"
    for unit in "$work/former"/*; do
        [ ! -e "$unit" ] || cp -p "$unit" "$units/"
    done
    ln -sfn "$former" "$prefix/.current"
    mv -T "$prefix/.current" "$prefix/current"
    systemctl daemon-reload
    systemctl reset-failed 'hotfit*' || true
    # Those that run the former release already are left alone.
    for unit in $touched; do
        systemctl restart "$unit" || complain "$unit of the former release does not come up either: journalctl -u $unit."
    done
    if ! is_active hotfit-api.service; then
        complain "hotfit-api-standby answers meanwhile, if it runs."
        exit 1
    fi
    systemctl stop hotfit-api-standby.service
    complain "What ran before runs: $former."
    exit 1
}

is_covered=
touched=
if [ -n "$is_restart_due" ] && [ -z "$has_new_port" ] && is_active hotfit-api.service; then
    put_unit hotfit-api-standby.service
    run systemctl daemon-reload
    # Returns when it answers.
    if ! run systemctl restart hotfit-api-standby.service; then
        go_back hotfit-api-standby
    fi
    is_covered=yes
fi
for unit in "$work/new"/*; do
    put_unit "$(basename "$unit")"
done
run systemctl daemon-reload
run ln -sfn "$release" "$prefix/.current"
run mv -T "$prefix/.current" "$prefix/current"
is_new_release=

if [ -z "$is_configured" ]; then
    echo "Name your data in $etc/hotfit.toml, then run install.sh again."
    exit 0
fi

run systemctl enable --quiet hotfit.target hotfit-api.socket hotfit-api.service
# A person who chose the timer instead of the daemon has disabled it.
if [ -n "$dry" ] || [ -z "$applied" ]; then
    run systemctl enable --quiet hotfit-retrain.service
fi
if [ -n "$has_new_port" ]; then
    echo "The port changes: connections are refused for a moment."
    touched="hotfit-api.socket hotfit-api.service"
    run systemctl stop hotfit-api.socket hotfit-api.service
fi
run systemctl reset-failed 'hotfit*'
run systemctl start hotfit-api.socket
if [ -n "$dry" ] || systemctl is-enabled --quiet hotfit-retrain.service; then
    touched="$touched hotfit-retrain.service"
    run systemctl "${is_restart_due:+re}start" hotfit-retrain.service || go_back hotfit-retrain
fi
touched="$touched hotfit-api.service"
run systemctl "${is_restart_due:+re}start" hotfit-api.service || go_back hotfit-api
run systemctl start hotfit.target
if [ -n "$is_covered" ]; then
    run systemctl stop hotfit-api-standby.service
fi
if [ -z "$dry" ]; then
    echo "$settings" >"$prefix/applied"
    # A training by the timer may still read the former release.
    if ! systemctl is-active --quiet 'hotfit-once@*'; then
        find "$prefix/releases" -mindepth 1 -maxdepth 1 ! -path "$release" -exec rm -rf {} +
        find "$prefix/venvs" -mindepth 1 -maxdepth 1 ! -path "$venv" -exec rm -rf {} +
    fi
fi
echo "Hotfit runs at $address. Look: systemctl status 'hotfit*', journalctl -u 'hotfit*'"
