"""Components in WebAssembly's text form, with the canonical ABI written by hand: no toolchain is needed.

A guest has a memory with an allocator, the functions of the host that it names, and the bodies of its exports. Texts
are at fixed addresses. ``RESULT`` is where the host's functions put what does not fit into a register.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RESULT = 256
"""The address of what a function of the host returns."""
_ANSWER, _SEND = 16, 512
_TEXTS = 4096
_FAILURE = """
    (type $kind' (enum "timeout" "connection" "tls" "other")) (export "failure-kind" (type $kind (eq $kind')))
    (type $failure' (record (field "kind" $kind) (field "message" string)))
    (export "failure" (type $failure (eq $failure')))"""
_VALUE = """
    (type $value' (variant (case "nothing") (case "boolean" bool) (case "integer" s64) (case "number" f64)
      (case "text" string) (case "json" string)))
    (export "value" (type $value (eq $value')))
    (type $named (tuple string $value))"""
_TYPES = {
    "http": f"""{_FAILURE}
    (type $options' (record (field "name" (option string)) (field "expect" (list string))
      (field "timeout-ms" (option u32)) (field "redirects" bool)))
    (export "options" (type $options (eq $options')))
    (type $response' (record (field "status" u16) (field "url" string) (field "headers" (list (tuple string string)))
      (field "body" (list u8)) (field "source-address" (option string)) (field "elapsed-us" u64)))
    (export "response" (type $response (eq $response')))""",
    "sockets": f"""{_FAILURE}
    (type $family' (enum "ipv4" "ipv6")) (export "ip-family" (type $family (eq $family')))
    (type $endpoint (tuple string u16))
    (export "tcp-stream" (type $tcp (sub resource))) (export "udp-socket" (type $udp (sub resource)))""",
    "user": _VALUE,
    "metrics": '(export "span" (type $span (sub resource)))',
}
# The name in a guest: the interface, the name there, its type, and the parameters and results of what it is lowered to.
HOST = {
    "get": ("http", "get", '(param "url" string) (result (result $response (error $failure)))', "iii"),
    "send": (
        "http",
        "send",
        '(param "method" string) (param "url" string) (param "headers" (list (tuple string string))) '
        '(param "body" (option (list u8))) (param "options" (option $options)) '
        "(result (result $response (error $failure)))",
        "ii",
    ),
    "tcp_connect": (
        "sockets",
        "[static]tcp-stream.connect",
        '(param "host" string) (param "port" u16) (param "timeout-ms" (option u32)) '
        "(result (result (own $tcp) (error $failure)))",
        "iiiiii",
    ),
    "tcp_send": (
        "sockets",
        "[method]tcp-stream.send",
        '(param "self" (borrow $tcp)) (param "data" (list u8)) (param "timeout-ms" (option u32)) '
        "(result (result (error $failure)))",
        "iiiiii",
    ),
    "tcp_receive": (
        "sockets",
        "[method]tcp-stream.receive",
        '(param "self" (borrow $tcp)) (param "max" u32) (param "timeout-ms" (option u32)) '
        "(result (result (list u8) (error $failure)))",
        "iiiii",
    ),
    "tcp_local_address": (
        "sockets",
        "[method]tcp-stream.local-address",
        '(param "self" (borrow $tcp)) (result $endpoint)',
        "ii",
    ),
    "udp_open": (
        "sockets",
        "[static]udp-socket.open",
        '(param "family" (option $family)) (result (result (own $udp) (error $failure)))',
        "iii",
    ),
    "udp_send_to": (
        "sockets",
        "[method]udp-socket.send-to",
        '(param "self" (borrow $udp)) (param "host" string) (param "port" u16) (param "data" (list u8)) '
        "(result (result (error $failure)))",
        "iiiiiii",
    ),
    "udp_receive_from": (
        "sockets",
        "[method]udp-socket.receive-from",
        '(param "self" (borrow $udp)) (param "max" u32) (param "timeout-ms" (option u32)) '
        "(result (result (tuple (list u8) $endpoint) (error $failure)))",
        "iiiii",
    ),
    "udp_local_address": (
        "sockets",
        "[method]udp-socket.local-address",
        '(param "self" (borrow $udp)) (result $endpoint)',
        "ii",
    ),
    "index": ("user", "index", "(result u32)", ":i"),
    "iteration": ("user", "iteration", "(result u64)", ":l"),
    "source_address": ("user", "source-address", "(result (option string))", "i"),
    "random": ("user", "random", "(result f64)", ":d"),
    "row": ("user", "row", '(param "name" string) (result (option (list $named)))', "iii"),
    "pause": ("user", "pause", '(param "span" string)', "ii"),
    "log": ("user", "log", '(param "message" string)', "ii"),
    "finish": (
        "metrics",
        "[method]span.finish",
        '(param "self" (borrow $span)) (param "problem" (option string))',
        "iiii",
    ),
    "measure": ("metrics", "measure", '(param "name" string) (result (own $span))', "ii:i"),
    "step": ("metrics", "step", '(param "name" string) (result (own $span))', "ii:i"),
    "check": ("metrics", "check", '(param "name" string) (param "holds" bool)', "iii"),
    "count": ("metrics", "count", '(param "name" string) (param "n" f64)', "iid"),
    "gauge": ("metrics", "gauge", '(param "name" string) (param "value" f64)', "iid"),
    "observe": ("metrics", "observe", '(param "name" string) (param "seconds" f64)', "iid"),
}
_DROPS = {"tcp-stream": "sockets", "udp-socket": "sockets", "span": "metrics"}
_KINDS = {"i": "i32", "l": "i64", "d": "f64"}


@dataclass
class Guest:
    """The text of a component, in parts."""

    _data: list[str] = field(default_factory=list)
    _next: int = _TEXTS

    def text(self, text: str) -> str:
        """Address and length of a text, as two arguments."""
        data = text.encode()
        escaped = "".join(f"\\{each:02x}" for each in data)
        self._data.append(f'(data (i32.const {self._next}) "{escaped}")')
        at, self._next = self._next, self._next + len(data)
        return f"(i32.const {at}) (i32.const {len(data)})"

    def wat(
        self,
        iterate: str = "",
        *,
        set_up: str = "",
        tear_down: str = "",
        pages: int = 2,
        more: str = "",
        imports: str = "",
    ) -> str:
        """The component: its exports run these instructions, and return a success unless these return something else.

        ``more`` is for other functions and globals of the module, ``imports`` for other imports of the component.
        """
        bodies = " ".join((iterate, set_up, tear_down, more))
        used = [name for name in HOST if f"$host.{name}" in bodies]
        drops = [name for name in _DROPS if f"$drop.{name}" in bodies]
        interfaces = [each for each in _TYPES if any(HOST[name][0] == each for name in used)]
        return "\n".join(
            [
                "(component",
                imports,
                *(_import(each, [name for name in used if HOST[name][0] == each]) for each in interfaces),
                _LIBC.format(pages=pages),
                *(_lowered(name) for name in used),
                *(f'(alias export ${_DROPS[each]} "{each}" (type $type.{each}))' for each in drops),
                *(f"(core func $drop.{each} (canon resource.drop $type.{each}))" for each in drops),
                '(core module $main (import "libc" "memory" (memory 1))',
                *(_core_import(name) for name in used),
                *(f'(import "drop" "{each}" (func $drop.{each} (param i32)))' for each in drops),
                *self._data,
                _MAIN,
                more,
                f'(func (export "set-up") (result i32) (local $a i32) (local $b i32) {set_up} (call $ok))',
                '(func (export "iterate") (param $in i32) (param $inputs i32) (result i32) '
                f"(local $a i32) (local $b i32) {iterate} (call $ok))",
                f'(func (export "tear-down") (result i32) (local $a i32) (local $b i32) {tear_down} (call $ok)))',
                '(core instance $main (instantiate $main (with "libc" (instance $libc))',
                '(with "host" (instance',
                *(f'(export "{name}" (func $host.{name}))' for name in used),
                ')) (with "drop" (instance',
                *(f'(export "{each}" (func $drop.{each}))' for each in drops),
                "))))",
                _EXPORTS,
                ")",
            ]
        )


def _import(interface: str, names: list[str]) -> str:
    functions = (f'(export "{HOST[name][1]}" (func {HOST[name][2]}))' for name in names)
    return (
        f'(import "pytest-ipload:load/{interface}" (instance ${interface} {_TYPES[interface]} {" ".join(functions)}))'
    )


def _lowered(name: str) -> str:
    interface, function = HOST[name][:2]
    return (
        f'(alias export ${interface} "{function}" (func $lifted.{name})) '
        f"(core func $host.{name} (canon lower (func $lifted.{name}) (memory $memory) (realloc $realloc)))"
    )


def _core_import(name: str) -> str:
    parameters, _, results = HOST[name][3].partition(":")
    given = "".join(f" (param {_KINDS[each]})" for each in parameters)
    returned = "".join(f" (result {_KINDS[each]})" for each in results)
    return f'(import "host" "{name}" (func $host.{name}{given}{returned}))'


_LIBC = """
(core module $libc
  (memory (export "memory") {pages})
  (global $next (mut i32) (i32.const 65536))
  (func (export "reset") (param i32) (global.set $next (i32.const 65536)))
  (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get $new)))
    (block $done (loop $grow
      (br_if $done (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
      (br $grow)))
    (memory.copy (local.get $at) (local.get $old) (local.get $size))
    (local.get $at)))
(core instance $libc (instantiate $libc))
(alias core export $libc "memory" (core memory $memory))
(alias core export $libc "realloc" (core func $realloc))
(alias core export $libc "reset" (core func $reset))"""
_MAIN = f"""
  (func $ok (result i32)
    (memory.fill (i32.const {_ANSWER}) (i32.const 0) (i32.const 12)) (i32.const {_ANSWER}))
  (func $fail (param $at i32) (param $length i32) (result i32)
    (i32.store (i32.const {_ANSWER}) (i32.const 1)) (i32.store (i32.const {_ANSWER + 4}) (local.get $at))
    (i32.store (i32.const {_ANSWER + 8}) (local.get $length)) (i32.const {_ANSWER}))
  (func $request (param $method i32) (param $m i32) (param $url i32) (param $u i32) (param $body i32) (param $b i32)
      (result i32)
    (memory.fill (i32.const {_SEND}) (i32.const 0) (i32.const 72))
    (i32.store (i32.const {_SEND}) (local.get $method)) (i32.store (i32.const {_SEND + 4}) (local.get $m))
    (i32.store (i32.const {_SEND + 8}) (local.get $url)) (i32.store (i32.const {_SEND + 12}) (local.get $u))
    (i32.store (i32.const {_SEND + 24}) (i32.const 1))
    (i32.store (i32.const {_SEND + 28}) (local.get $body)) (i32.store (i32.const {_SEND + 32}) (local.get $b))
    (i32.const {_SEND}))"""
_EXPORTS = """
(type $value' (variant (case "nothing") (case "boolean" bool) (case "integer" s64) (case "number" f64)
  (case "text" string) (case "json" string)))
(export $value "value" (type $value'))
(type $named (tuple string $value))
(type $ended (func (result (result (error string)))))
(type $iterate (func (param "inputs" (list $named)) (result (result (list $named) (error string)))))
(func (export "set-up") (type $ended) (canon lift (core func $main "set-up") (memory $memory) (realloc $realloc)))
(func (export "iterate") (type $iterate)
  (canon lift (core func $main "iterate") (memory $memory) (realloc $realloc) (post-return $reset)))
(func (export "tear-down") (type $ended)
  (canon lift (core func $main "tear-down") (memory $memory) (realloc $realloc)))"""


def wat(iterate: str = "", *, set_up: str = "", tear_down: str = "", pages: int = 2, imports: str = "") -> str:
    """A component without texts; see ``Guest.wat``."""
    return Guest().wat(iterate, set_up=set_up, tear_down=tear_down, pages=pages, imports=imports)
