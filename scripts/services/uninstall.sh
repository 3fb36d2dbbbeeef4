#!/bin/sh
# Remove the services, the code, the configuration, models, keys and the user hotfit.
# Usage: uninstall.sh [--keep-data] [--prefix DIR] [--dry-run] [--help]
#
#   --keep-data   leave /etc/hotfit, /var/lib/hotfit and the user they belong to
#   --prefix DIR  where install.sh has put the code (/opt/hotfit)
#   --dry-run     show the steps and take none
#
# Asks nothing. What was logged stays in the journal until that forgets it.
set -eu
prefix=/opt/hotfit
units=/etc/systemd/system
dry=
keep=

complain() {
    echo "uninstall.sh: $*" >&2
}

while [ $# -gt 0 ]; do
    case "$1" in
        --dry-run) dry=yes ;;
        --keep-data) keep=yes ;;
        --prefix)
            if [ $# -lt 2 ]; then
                complain "--prefix: expected a path after it, found nothing."
                exit 2
            fi
            prefix=${2%/}
            shift
            ;;
        -h | --help)
            sed -n '2,9s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            complain "expected --keep-data, --prefix, --dry-run or --help, found '$1'."
            exit 2
            ;;
    esac
    shift
done

run() {
    if [ -n "$dry" ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

if [ -z "$dry" ] && [ "$(id -u)" != 0 ]; then
    complain "expected to be run as root, found user $(id -un). --dry-run shows the steps."
    exit 1
fi
if [ -e "$prefix" ] && [ ! -d "$prefix/releases" ] && [ ! -d "$prefix/api_service" ]; then
    complain "--prefix: expected an installation of Hotfit at $prefix, found other files. Nothing was removed."
    exit 1
fi

has_systemd=
if [ -n "$dry" ] || systemctl show --property=Version >/dev/null 2>&1; then
    has_systemd=yes
fi

if [ -n "$has_systemd" ]; then
    # The timers first, so that nothing starts anew; the socket before what it would start.
    run systemctl stop 'hotfit-once@*.timer' 'hotfit-once@*.service'
    for unit in hotfit.target hotfit-api.socket hotfit-api-standby.service hotfit-api.service hotfit-retrain.service; do
        if [ -n "$dry" ] || [ -e "$units/$unit" ]; then
            run systemctl disable --quiet --now "$unit"
        fi
    done
    run systemctl reset-failed 'hotfit*'
fi
# Drop-ins, which a person has written, are kept with the rest of the configuration.
for place in "$units" "$units/timers.target.wants" "$units/multi-user.target.wants" "$units/hotfit.target.wants"; do
    run find "$place" -mindepth 1 -maxdepth 1 \
        \( -name 'hotfit.target*' -o -name 'hotfit-*.service*' -o -name 'hotfit-*.socket*' -o -name 'hotfit-*.timer*' \) \
        ! -name "${keep:+*.d}" -exec rm -rf {} + 2>/dev/null || true
done
if [ -n "$has_systemd" ]; then
    run systemctl daemon-reload
fi
run find /var/lib/systemd/timers -name 'stamp-hotfit-once@*' -delete 2>/dev/null || true
run rm -f /etc/cron.d/hotfit /etc/logrotate.d/hotfit
run rm -rf "$prefix"
if [ -n "$keep" ]; then
    echo "Hotfit is gone. Left: /etc/hotfit, /var/lib/hotfit, user hotfit."
    exit 0
fi
run rm -rf /etc/hotfit /var/lib/hotfit
if [ -n "$dry" ] || id hotfit >/dev/null 2>&1; then
    run userdel hotfit
fi
echo "Hotfit is gone, with its configuration, models and keys."
