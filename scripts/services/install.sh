#!/bin/sh
# Install both daemons as systemd services, or bring an installation up to this checkout.
# Usage: install.sh [--dry-run] [--help]
#
# Code goes to /opt/hotfit, the configuration to /etc/hotfit (kept when it is there), models,
# keys and logs to /var/lib/hotfit. Asks nothing; running it again changes only what differs.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
prefix=/opt/hotfit
etc=/etc/hotfit
units=/etc/systemd/system
dry=

for argument in "$@"; do
    case "$argument" in
        --dry-run) dry=yes ;;
        -h | --help)
            sed -n '2,7s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            echo "install.sh: expected --dry-run or --help, found '$argument'." >&2
            exit 2
            ;;
    esac
done

run() {
    if [ -n "$dry" ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

if [ -z "$dry" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "install.sh: expected to be run as root, found user $(id -un). --dry-run shows the steps." >&2
        exit 1
    fi
    if ! command -v systemctl >/dev/null 2>&1; then
        echo "install.sh: no systemd here (no systemctl). ./scripts/start.sh runs without it." >&2
        exit 1
    fi
fi

if ! id hotfit >/dev/null 2>&1; then
    run useradd --system --home-dir /var/lib/hotfit --no-create-home --shell /usr/sbin/nologin hotfit
fi

run mkdir -p "$prefix" "$etc"
for part in api_service retrain_service shared scripts docs; do
    # The new folder is complete before the old one goes.
    run rm -rf "$prefix/.$part.new"
    run cp -R "$root/$part" "$prefix/.$part.new"
    run rm -rf "${prefix:?}/$part"
    run mv "$prefix/.$part.new" "$prefix/$part"
done
run cp "$root/requirements.txt" "$prefix/requirements.txt"
run env HOTFIT_VENV="$prefix/.venv" "${HOTFIT_PYTHON:-python3}" "$prefix/scripts/setup_env.py"
# The services may not write there, so what they import is compiled now.
run "$prefix/.venv/bin/python" -m compileall -q "$prefix/.venv/lib" "$prefix/api_service" "$prefix/retrain_service" "$prefix/shared"

is_configured=yes
if [ ! -e "$etc/hotfit.toml" ]; then
    if [ -e "$root/hotfit.toml" ]; then
        run cp "$root/hotfit.toml" "$etc/hotfit.toml"
    else
        run cp "$root/docs/hotfit.example.toml" "$etc/hotfit.toml"
        is_configured=
    fi
    run chown root:hotfit "$etc/hotfit.toml"
    run chmod 0640 "$etc/hotfit.toml" # it may hold a database password
fi

for unit in hotfit-retrain.service hotfit-api.service; do
    run install -m 0644 "$here/$unit" "$units/$unit"
done
run systemctl daemon-reload

if [ -n "$is_configured" ]; then
    run systemctl enable hotfit-retrain.service hotfit-api.service
    run systemctl restart hotfit-retrain.service hotfit-api.service
    echo "Hotfit runs as hotfit-retrain and hotfit-api. Look: systemctl status 'hotfit-*', journalctl -u 'hotfit-*'"
else
    echo "Name your data in $etc/hotfit.toml, then: systemctl enable --now hotfit-retrain hotfit-api"
fi
