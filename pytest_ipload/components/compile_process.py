"""Compiles a component, in a process of its own: a script that needs nothing but wasmtime.

A compiler that is fed hostile bytes may take all memory, for ever, or crash. It does so here. And Ctrl-C ends it.
``python compile_process.py FOLDER_OF_WASMTIME SETTINGS IS_TEXT`` reads the component and writes its code.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    """0: the code is written; 1: the text on standard error says what is wrong with the component."""
    folder, settings, is_text = sys.argv[1:4]
    sys.path.append(folder)
    import wasmtime
    from wasmtime import component

    config = wasmtime.Config()
    for name, value in json.loads(settings).items():
        setattr(config, name, value)
    data = sys.stdin.buffer.read()
    try:
        if is_text == "1":
            data = bytes(wasmtime.wat2wasm(data))
        code = component.Component(wasmtime.Engine(config), data).serialize()
    except Exception as error:
        sys.stderr.write(f"{error}")
        return 1
    sys.stdout.buffer.write(code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
