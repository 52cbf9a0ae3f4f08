"""``merge --jobs N``: several processes read and merge a part of the files each.

A process gets the list of its files on its standard input and writes what it has merged to its standard output, as
values (nothing is unpickled). It ends with the first one: at the end of its standard input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from pytest_ipload.base.packing import pack, unpack
from pytest_ipload.cli.merge_sources import Source, folded
from pytest_ipload.distributed.segment_fold import Fold
from pytest_ipload.distributed.segments import UnusableFile

_CODE = "from pytest_ipload.cli.merge_jobs import work; work()"
_DONE, _UNUSABLE = b"+", b"-"


def fold_in_jobs(sources: Sequence[Source], jobs: int) -> Fold:
    """The same as ``folded``. Raises UnusableFile, also if a process dies."""
    size = -(-len(sources) // jobs)
    with ExitStack() as running:
        processes = []
        for start in range(0, len(sources), size):
            process = subprocess.Popen([sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            running.enter_context(process)
            running.callback(process.kill)  # before the wait: an interrupt, or an unusable file, ends all
            assert process.stdin is not None
            process.stdin.write(json.dumps(sources[start : start + size]).encode())
            process.stdin.close()
            processes.append(process)
        fold = Fold()
        for process in processes:
            assert process.stdout is not None
            fold.merge(_read(process.stdout.read()))
    return fold


def _read(output: bytes) -> Fold:
    kind, content = output[:1], output[1:]
    if kind == _UNUSABLE:
        raise UnusableFile(content.decode())
    if kind != _DONE:
        raise UnusableFile("a process of --jobs ended without a result; merge without --jobs to see why")
    return Fold.from_plain(unpack(content))


def work() -> None:
    """What each process does."""
    sources = [Source(*each) for each in json.load(sys.stdin)]
    try:
        output = _DONE + pack(folded(sources).to_plain())
    except UnusableFile as error:
        output = _UNUSABLE + str(error).encode()
    sys.stdout.buffer.write(output)
