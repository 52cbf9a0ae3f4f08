#!/usr/bin/env bash
# Builds the components of the examples into build/: build.sh python, build.sh javascript, or both without an argument.
#
# Python needs componentize-py (pip install componentize-py==0.25.1); JavaScript needs Node.js and npm, which loads
# componentize-js from its registry. PYTHON is an interpreter that pytest-ipload is installed for.
set -euo pipefail
cd "$(dirname "$0")"
componentize_py=0.25.1
PYTHON=${PYTHON:-python3}
mkdir -p build/wit
"$PYTHON" -m pytest_ipload wit >build/wit/load.wit

build_python() {
    local program
    program=$(dirname "$("$PYTHON" -c 'import sys; print(sys.executable)')")/componentize-py
    [[ -x $program ]] || program=componentize-py
    if [[ $("$program" --version) != "componentize-py $componentize_py" ]]; then
        echo "this needs componentize-py $componentize_py: pip install componentize-py==$componentize_py" >&2
        return 1
    fi
    "$program" --wit-path build/wit --world scenario componentize --stub-wasi --output build/shop-python.wasm shop
}

build_javascript() {
    npm ci --no-audit --no-fund
    npx --no-install componentize-js --wit build/wit --world-name scenario --disable http --disable fetch-event \
        --out build/shop-javascript.wasm shop.js
}

for language in ${*:-python javascript}; do
    case $language in
        python | javascript) "build_$language" ;;
        *) echo "$language: give python or javascript" >&2; exit 2 ;;
    esac
done
