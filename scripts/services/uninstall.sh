#!/bin/sh
# Remove the systemd services and the code. Usage: uninstall.sh [--dry-run] [--purge] [--help]
#
# /etc/hotfit and /var/lib/hotfit (models, keys, logs) stay, unless --purge is given.
set -eu
dry=
purge=

for argument in "$@"; do
    case "$argument" in
        --dry-run) dry=yes ;;
        --purge) purge=yes ;;
        -h | --help)
            sed -n '2,4s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            echo "uninstall.sh: expected --dry-run, --purge or --help, found '$argument'." >&2
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

if [ -z "$dry" ] && [ "$(id -u)" != 0 ]; then
    echo "uninstall.sh: expected to be run as root, found user $(id -un). --dry-run shows the steps." >&2
    exit 1
fi

for unit in hotfit-api.service hotfit-retrain.service; do
    if [ -n "$dry" ] || [ -e "/etc/systemd/system/$unit" ]; then
        run systemctl disable --now "$unit"
        run rm -f "/etc/systemd/system/$unit"
    fi
done
if command -v systemctl >/dev/null 2>&1; then
    run systemctl daemon-reload
fi
run rm -rf /opt/hotfit
if [ -n "$purge" ]; then
    run rm -rf /etc/hotfit /var/lib/hotfit
    if id hotfit >/dev/null 2>&1; then
        run userdel hotfit
    fi
    echo "Hotfit is gone, with its configuration, models and keys."
else
    echo "Hotfit is gone. Left: /etc/hotfit, /var/lib/hotfit, user hotfit (--purge removes them)."
fi
