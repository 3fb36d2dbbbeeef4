#!/bin/sh
# Start both daemons in the background; the first start makes .venv. Options: --help
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/find_python.sh"
venv=${HOTFIT_VENV:-"$(dirname -- "$here")/.venv"}
case "${1:-}" in
    -h | --help) exec "$python" "$here/control.py" start --help ;;
esac
"$python" "$here/setup/environment.py"
exec "$venv/bin/python" "$here/control.py" start "$@"
