#!/bin/sh
# Show both daemons, the served version and the last run. Options: --help
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=${HOTFIT_VENV:-"$(dirname -- "$here")/.venv"}
if [ ! -x "$venv/bin/python" ]; then
    echo "Nothing is installed here yet: ./scripts/start.sh does that." >&2
    exit 3
fi
exec "$venv/bin/python" "$here/control.py" status "$@"
