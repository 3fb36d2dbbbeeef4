#!/bin/sh
# Set up what the checks need, then run all of them; arguments go to pytest. Options: --help
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/find_python.sh"
venv=${HOTFIT_VENV:-"$(dirname -- "$here")/.venv"}
case "${1:-}" in
    -h | --help) exec "$python" "$here/check.py" --help ;;
esac
"$python" "$here/setup/environment.py" --dev
exec "$venv/bin/python" "$here/check.py" "$@"
