"""What a component may import and has to export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.wat import Guest, wat

from pytest_ipload.base.errors import ComponentTrapped, SettingError
from pytest_ipload.components.component import Component
from pytest_ipload.load.user import VirtualUser

Load = Callable[..., Component]
Play = Callable[..., dict[str, Any]]
HTTP = "pytest-ipload:load/http"


def instance(name: str, content: str = "") -> str:
    return f'(import "{name}" (instance {content}))'


@pytest.mark.parametrize(
    ("imports", "message"),
    [
        pytest.param(
            instance("wasi:sockets/tcp@0.2.3") + instance("wasi:http/outgoing-handler@0.2.0"),
            r"it imports wasi:sockets/tcp@0\.2\.3, wasi:http/outgoing-handler@0\.2\.0, which components do not get: .*"
            r"build it without these \(componentize-py has --stub-wasi; jco componentize has --disable http\)$",
            id="network",
        ),
        pytest.param(instance("wasi:clocks/wall-clock@0.3.0"), "wall-clock@0.3.0, which", id="other WASI"),
        pytest.param(instance("wasi:clocks/timezone@0.2.1"), "timezone@0.2.1, which", id="other interface"),
        pytest.param('(import "run" (func))', "it imports run, which", id="function"),
        pytest.param('(import "m" (core module))', "it imports m, which", id="module"),
        pytest.param(instance("acme:x/y"), "it imports acme:x/y, which", id="unknown"),
        pytest.param(
            instance(HTTP, '(export "post" (func))'), f"it imports post of {HTTP}, which this version", id="no function"
        ),
        pytest.param(
            instance(HTTP, '(export "get" (func (param "url" string) (result u32)))'),
            rf"it imports get of {HTTP} as \(string\) -> u32, not as \(string\) -> result<record\{{status: u16, ",
            id="other types",
        ),
        pytest.param(
            instance(HTTP, '(type $f (flags "a")) (export "f" (type $g (eq $f))) (export "get" (func (result $g)))'),
            rf"it imports get of {HTTP} with other types \(FlagsType\)",
            id="unknown types",
        ),
        pytest.param(
            instance("wasi:random/random@0.2.0", '(export "get-random-u64" (func (result string)))'),
            r"get-random-u64 of wasi:random/random@0\.2\.0 as \(\) -> string, not as \(\) -> u64",
            id="WASI with other types",
        ),
    ],
)
def test_other_imports_are_refused_with_their_names(imports: str, message: str, load: Load) -> None:
    with pytest.raises(SettingError, match=f"^component guest.wat: .*{message}"):
        load(wat(imports=imports))


def test_many_refused_imports_are_cut_short(load: Load) -> None:
    with pytest.raises(SettingError, match=r"acme:x/y19, and 5 more, which"):
        load(wat(imports="".join(instance(f"acme:x/y{number}") for number in range(25))))


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("(component)", "it does not export set-up; a component of the world pytest-ipload:load/scenario exports "),
        (
            '(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) '
            '(alias core export $i "f" (core func $g)) (func (export "set-up") (canon lift (core func $g))))',
            r"set-up is \(\), not \(\) -> result<_, string>",
        ),
    ],
    ids=["none", "other types"],
)
def test_exports_have_to_be_there(component: str, message: str, load: Load) -> None:
    with pytest.raises(SettingError, match=f"^component guest.wat: {message}"):
        load(component)


def with_wasi(imports: str, lower: str, core: str, supply: str, body: str) -> str:
    """A component that imports functions of WASI by hand."""
    text = Guest().wat(body, imports=imports)
    head, _, tail = text.partition('(core module $main (import "libc" "memory" (memory 1))')
    module = f'{head}{lower}(core module $main (import "libc" "memory" (memory 1)) {core}{tail}'
    return module.replace('(with "host" (instance', f'(with "host" (instance {supply}', 1)


def one_function(interface: str, kind: str, core: str, body: str, types: str = "") -> str:
    """A component with one function of WASI, ``$f``."""
    interface, _, name = interface.partition(" ")
    return with_wasi(
        f'(import "{interface}" (instance $wasi {types} (export "{name}" (func {kind}))))',
        f'(alias export $wasi "{name}" (func $lifted)) '
        "(core func $lowered (canon lower (func $lifted) (memory $memory) (realloc $realloc)))",
        f'(import "host" "f" (func $f {core}))',
        '(export "f" (func $lowered))',
        body,
    )


DATETIME = (
    '(type $d (record (field "seconds" u64) (field "nanoseconds" u32))) (export "datetime" (type $datetime (eq $d)))'
)
HARMLESS = {
    "clock": one_function(
        "wasi:clocks/monotonic-clock@0.2.0 now", "(result u64)", "(result i64)",
        "(if (i64.eqz (call $f)) (then unreachable))",
    ),
    "time": one_function(
        "wasi:clocks/wall-clock@0.2.9 now", "(result $datetime)", "(param i32)",
        # the year is 2024 or later
        "(call $f (i32.const 64)) (if (i64.lt_u (i64.load (i32.const 64)) (i64.const 1704067200)) (then unreachable))",
        DATETIME,
    ),
    "random": one_function(
        "wasi:random/random@0.2.6 get-random-bytes", '(param "len" u64) (result (list u8))', "(param i64 i32)",
        "(call $f (i64.const 7) (i32.const 64)) "
        "(if (i32.ne (i32.load (i32.const 68)) (i32.const 7)) (then unreachable))",
    ),
    "environment": one_function(
        "wasi:cli/environment@0.2.6 get-environment", "(result (list (tuple string string)))", "(param i32)",
        "(call $f (i32.const 64)) (if (i32.load (i32.const 68)) (then unreachable))",
    ),
    "files": one_function(
        "wasi:filesystem/preopens@0.2.6 get-directories", "(result (list (tuple (own $dir) string)))", "(param i32)",
        "(call $f (i32.const 64)) (if (i32.load (i32.const 68)) (then unreachable))",
        '(export "descriptor" (type $dir (sub resource)))',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_the_harmless_part_of_wasi_is_there(name: str, play: Play) -> None:
    assert play(HARMLESS[name]) == {}


@pytest.mark.parametrize(
    ("name", "kind", "core", "body", "message"),
    [
        ("wasi:cli/exit@0.2.6 exit", '(param "status" (result))', "(param i32)", "(call $f (i32.const 1))",
         r"it has ended itself: exit\(failure\)"),
        ("wasi:random/random@0.2.6 get-random-bytes", '(param "len" u64) (result (list u8))', "(param i64 i32)",
         "(call $f (i64.const 1000000000) (i32.const 64))", "1000000000 random bytes at once; at most 65536"),
        ("wasi:filesystem/types@0.2.6 open", '(param "path" string)', "(param i32 i32)",
         "(call $f (i32.const 0) (i32.const 0))", "wasi:filesystem/types@0.2.6 open is not there"),
    ],
    ids=["exit", "too many random bytes", "files"],
)  # fmt: skip
def test_what_wasi_does_not_do_here_ends_the_call(
    name: str, kind: str, core: str, body: str, message: str, play: Play
) -> None:
    with pytest.raises(ComponentTrapped, match=f"^component guest.wat: iterate: {message}"):
        play(one_function(name, kind, core, body))


OUTPUT = """
(import "wasi:io/error@0.2.6" (instance $error (export "error" (type (sub resource)))))
(alias export $error "error" (type $error_type))
(import "wasi:io/streams@0.2.6" (instance $streams
  (alias outer 1 $error_type (type $outer)) (export "error" (type $e (eq $outer)))
  (export "output-stream" (type $out (sub resource)))
  (type $se' (variant (case "last-operation-failed" (own $e)) (case "closed")))
  (export "stream-error" (type $se (eq $se')))
  (export "[method]output-stream.blocking-write-and-flush"
    (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $se)))))))
(alias export $streams "output-stream" (type $stream))
(import "wasi:cli/stdout@0.2.6" (instance $stdout
  (alias outer 1 $stream (type $outer)) (export "output-stream" (type $out (eq $outer)))
  (export "get-stdout" (func (result (own $out))))))
"""
LOWER = """
(alias export $stdout "get-stdout" (func $get))
(core func $lowered_get (canon lower (func $get)))
(alias export $streams "[method]output-stream.blocking-write-and-flush" (func $put))
(core func $lowered_put (canon lower (func $put) (memory $memory) (realloc $realloc)))
"""


def test_what_is_written_to_standard_output_is_printed(
    load: Load, user: VirtualUser, capsys: pytest.CaptureFixture[str]
) -> None:
    write = "(call $put (call $get) (i32.const 900) (i32.const 8) (i32.const 64))"
    store = "(i64.store (i32.const 900) (i64.const 0x0a6f0a6c6c656820))"  # " hell\no\n"
    text = with_wasi(
        OUTPUT,
        LOWER,
        '(import "host" "get" (func $get (result i32))) (import "host" "put" (func $put (param i32 i32 i32 i32)))',
        '(export "get" (func $lowered_get)) (export "put" (func $lowered_put))',
        f"{store} {write}",
    )
    component = load(text)
    component(user)
    user.release_actions()
    assert capsys.readouterr().out == " hell\no\n"
