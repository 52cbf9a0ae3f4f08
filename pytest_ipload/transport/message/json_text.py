"""JSON as requests writes it, without an encoder made anew for each body."""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any

from requests.compat import json as complexjson  # type: ignore[attr-defined]  # simplejson, if it is there

_encoding: Any = json.encoder  # with an internal of Python's that is not there everywhere
_stock_dumps, _stock_maker = json.dumps, getattr(_encoding, "c_make_encoder", None)


def json_bytes(content: Any) -> bytes:
    """The same bytes, or the same error (ValueError, TypeError), as ``json.dumps(content, allow_nan=False)``."""
    # Libraries teach Python to write other objects by replacing these.
    if _encode is not None and complexjson.dumps is _stock_dumps and _encoding.c_make_encoder is _stock_maker:
        try:
            return "".join(_encode(content, 0)).encode()
        except Exception:  # as in a cycle, which is not looked for here; it is said below what is wrong
            pass
    return complexjson.dumps(content, allow_nan=False).encode()  # type: ignore[no-any-return]


def _refuse(content: object) -> None:
    raise TypeError(type(content))


def _encoder() -> Callable[[Any, int], tuple[str, ...]] | None:
    """The encoder in C that ``json.dumps`` makes for each call; None where Python has no such thing.

    ``json.dumps`` also has it keep a dictionary of the objects that it is in, to find cycles. Without it, threads
    may share the encoder.
    """
    try:
        escape = json.encoder.encode_basestring_ascii
        encode = _encoding.c_make_encoder(None, _refuse, escape, None, ": ", ", ", False, False, False)
        example = {"a": [1, 2.5, "\xe4", None, True], "b": {}}
        return encode if "".join(encode(example, 0)) == json.dumps(example) else None
    except Exception:  # another version of it takes other arguments
        return None


_encode = _encoder()
