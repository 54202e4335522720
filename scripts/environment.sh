#!/bin/sh
# Makes the virtual environment $1 hold requirements/$2.txt; does nothing when it does already.
set -eu
venv=$1
set_name=$2
python=${PYTHON:-python3}
stamp=$venv/.$set_name

wanted=$(cat requirements/base.txt "requirements/$set_name.txt" | cksum)
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed; '$python' is not. Say which: PYTHON=python3.12 make run" >&2
    exit 1
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "Making $venv ..."
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        # Debian packs this part of Python on its own
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get install -qq -y python3-venv >/dev/null || { apt-get update -qq && apt-get install -qq -y python3-venv >/dev/null; }
        else
            echo "Python's venv is not installed. On Debian: sudo apt-get install python3-venv" >&2
            exit 1
        fi
    fi
    "$python" -m venv --clear "$venv"
fi

echo "Installing requirements/$set_name.txt ..."
# a company's own certificate authority is in the system's store, where pip looks too
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
uv=$(sed -n 's/^uv==/uv==/p' requirements/tools.txt)
if "$venv/bin/python" -m pip install -q "$uv" 2>/dev/null && [ -x "$venv/bin/uv" ] &&
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" -r "requirements/$set_name.txt"; then
    :
else
    echo "uv did not do it; going on with pip ..."
    "$venv/bin/python" -m pip install -q -r "requirements/$set_name.txt"
fi
printf '%s\n' "$wanted" >"$stamp"
