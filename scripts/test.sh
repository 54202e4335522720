#!/bin/sh
# Every test. Says what cannot run here and why; arguments go to pytest.
set -eu

if ! command -v chromium >/dev/null && [ -z "${CHROMIUM:-}" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing Debian's chromium for the browser tests ..."
        apt-get install -qq -y --no-install-recommends chromium >/dev/null 2>&1 ||
            { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } ||
            echo "chromium could not be installed; the browser tests are skipped." >&2
    else
        echo "There is no chromium, so the browser tests are skipped. To run them: sudo apt-get install chromium" >&2
    fi
fi

# One worker more than processors: many tests wait for servers, browsers and clocks. tests/ordering.py says which come first.
processes=$(($(nproc 2>/dev/null || echo 2) + 1))
[ "$processes" -le 8 ] || processes=8

exec .venv/bin/python -m pytest -n "${TEST_PROCESSES:-$processes}" --dist loadfile --no-loadscope-reorder "$@"
