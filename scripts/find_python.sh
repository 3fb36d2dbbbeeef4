# shellcheck shell=sh disable=SC2015
# Sourced by start.sh and test.sh. Sets: python, the newest enough Python of this machine.
# Expects: here, the folder of the scripts. HOTFIT_PYTHON names one that is used instead.
python=
for candidate in "${HOTFIT_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    # The first one found speaks if none is new enough; one that cannot run at all is none.
    "$candidate" -c 'pass' >/dev/null 2>&1 || continue
    [ -n "$python" ] || python=$candidate
    if [ -n "${HOTFIT_PYTHON:-}" ]; then break; fi
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: expected Python 3.11 or newer, found none. Install one (Debian 12: apt-get install python3 python3-venv) or name one in HOTFIT_PYTHON." >&2
    exit 1
fi
