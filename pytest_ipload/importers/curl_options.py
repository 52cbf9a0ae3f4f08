"""The options of curl: which of them take a value, and what an import makes of them."""

from __future__ import annotations

USED = {
    "--request": True, "--header": True, "--data": True, "--data-raw": True, "--data-binary": True,
    "--data-ascii": True,
    "--data-urlencode": True, "--json": True, "--form": True, "--form-string": True, "--user": True, "--cookie": True,
    "--get": False, "--head": False, "--location": False, "--location-trusted": False, "--proxy": True, "--url": True,
    "--user-agent": True, "--referer": True, "--max-time": True, "--upload-file": True, "--url-query": True,
    "--oauth2-bearer": True, "--next": False, "--compressed": False, "--insecure": False, "--globoff": False,
    "--basic": False, "--no-location": False,
}  # fmt: skip
"""Those that a load test follows; True: it takes a value."""

MEANINGLESS = {
    "--silent": False, "--show-error": False, "--verbose": False, "--include": False, "--output": True,
    "--remote-name": False, "--remote-header-name": False, "--fail": False, "--fail-with-body": False,
    "--no-buffer": False, "--progress-bar": False, "--no-progress-meter": False, "--write-out": True, "--trace": True,
    "--trace-ascii": True, "--trace-time": False, "--stderr": True, "--dump-header": True, "--no-keepalive": False,
    "--disable": False, "--cookie-jar": True, "--junk-session-cookies": False, "--create-dirs": False,
    "--output-dir": True, "--styled-output": False, "--show-headers": False, "--no-styled-output": False,
    "--parallel": False, "--tcp-nodelay": False, "--keepalive-time": True, "--no-sessionid": False,
    "--remove-on-error": False, "--progress": False, "--no-silent": False, "--no-verbose": False, "--path-as-is": False,
}  # fmt: skip
"""Those that change what curl shows or stores, and nothing that the server sees."""

NOT_CARRIED_OVER = {
    "--http1.0": False, "--http1.1": False, "--http2": False, "--http2-prior-knowledge": False, "--http3": False,
    "--http3-only": False, "--connect-timeout": True, "--retry": True, "--retry-delay": True, "--retry-max-time": True,
    "--retry-all-errors": False, "--retry-connrefused": False, "--max-redirs": True, "--cert": True, "--key": True,
    "--cert-type": True, "--key-type": True, "--pass": True, "--cacert": True, "--capath": True, "--resolve": True,
    "--connect-to": True, "--interface": True, "--local-port": True, "--ipv4": False, "--ipv6": False,
    "--unix-socket": True, "--limit-rate": True, "--speed-limit": True, "--speed-time": True, "--digest": False,
    "--ntlm": False, "--negotiate": False, "--anyauth": False, "--aws-sigv4": True, "--netrc": False,
    "--netrc-file": True, "--netrc-optional": False, "--range": True, "--continue-at": True, "--tlsv1": False,
    "--tlsv1.0": False, "--tlsv1.1": False, "--tlsv1.2": False, "--tlsv1.3": False, "--tls-max": True,
    "--ciphers": True, "--tls13-ciphers": True, "--ssl": False, "--ssl-reqd": False, "--noproxy": True,
    "--proxy-user": True, "--proxy-header": True, "--proxy-insecure": False, "--proxytunnel": False, "--socks5": True,
    "--socks5-hostname": True, "--socks4": True, "--socks4a": True, "--preproxy": True, "--dns-servers": True,
    "--doh-url": True, "--tr-encoding": False, "--raw": False, "--post301": False, "--post302": False,
    "--post303": False, "--request-target": True, "--expect100-timeout": True, "--haproxy-protocol": False,
    "--time-cond": True, "--etag-compare": True, "--etag-save": True, "--hsts": True, "--alt-svc": True,
    "--pinnedpubkey": True, "--curves": True, "--crlfile": True, "--engine": True, "--login-options": True,
    "--form-escape": False, "--config": True, "--variable": True, "--rate": True, "--parallel-max": True,
    "--fail-early": False, "--max-filesize": True, "--proto": True, "--proto-default": True, "--proto-redir": True,
    "--ignore-content-length": False, "--http0.9": False, "--no-alpn": False, "--ca-native": False,
}  # fmt: skip
"""Those that matter, and that a load test does not follow: they are named."""

SHORT = {
    "X": "--request", "H": "--header", "d": "--data", "F": "--form", "u": "--user", "b": "--cookie", "G": "--get",
    "I": "--head", "L": "--location", "x": "--proxy", "A": "--user-agent", "e": "--referer", "m": "--max-time",
    "T": "--upload-file", "k": "--insecure", "g": "--globoff", ":": "--next", "s": "--silent", "S": "--show-error",
    "v": "--verbose", "i": "--include", "o": "--output", "O": "--remote-name", "J": "--remote-header-name",
    "f": "--fail", "N": "--no-buffer", "#": "--progress-bar", "w": "--write-out", "D": "--dump-header",
    "q": "--disable", "c": "--cookie-jar", "j": "--junk-session-cookies", "Z": "--parallel", "0": "--http1.0",
    "E": "--cert", "4": "--ipv4", "6": "--ipv6", "Y": "--speed-limit", "y": "--speed-time", "n": "--netrc",
    "r": "--range", "C": "--continue-at", "1": "--tlsv1", "U": "--proxy-user", "p": "--proxytunnel",
    "z": "--time-cond", "K": "--config",
}  # fmt: skip

TAKES_VALUE = {**MEANINGLESS, **NOT_CARRIED_OVER, **USED}
