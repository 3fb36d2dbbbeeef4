#!/bin/sh
# Stop both daemons: ask, wait ten seconds, then kill. Options: --help
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=${HOTFIT_VENV:-"$(dirname -- "$here")/.venv"}
if [ ! -x "$venv/bin/python" ]; then
    echo "Nothing is installed here yet: ./scripts/start.sh does that." >&2
    exit 3
fi
exec "$venv/bin/python" "$here/control.py" stop "$@"
