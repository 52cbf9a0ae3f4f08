"""Which targets are allowed."""

from __future__ import annotations

import pickle
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.transport.allowed_hosts import AllowedHosts

PATTERNS = ["Shop.Example.com", "*.x.test", "192.0.2.7", "2001:db8::7", "bücher.example", "trailing.example."]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.200.3.4:8000/x",
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.168.1.1/",
        "http://[::1]:8000/",
        "http://[fd00::1]/",
        "http://[fc00::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://localhost",
        "http://LOCALHOST:80/",
        "http://localhost./",
        "http://api.localhost/",
        "http://base.example/",
        "https://base.example:8443/other",
        "http://user:secret@127.0.0.1/",
        "http://evil.example@127.0.0.1/",
        "http://shop.example.com/",
        "http://SHOP.EXAMPLE.COM./",
        "http://a.x.test/",
        "http://a.b.X.test/",
        "http://192.0.2.7/",
        "http://[2001:DB8:0::7]/",
        "http://xn--bcher-kva.example/",
        "http://bücher.example/",
        "http://trailing.example/",
        "mailto:nobody",
    ],
)
def test_allowed_are_local_literals_the_base_url_and_the_patterns(url: str) -> None:
    AllowedHosts(PATTERNS, "http://base.example/api").check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.org/",
        "http://example.com/",
        "http://sub.shop.example.com/",
        "http://x.test/",
        "http://ax.test/",
        "http://a.x.test.evil.example/",
        "http://8.8.8.8/",
        "http://172.32.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[2001:db8::8]/",
        "http://[::ffff:8.8.8.8]/",
        "http://localhost.evil.example/",
        "http://notlocalhost/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "http://127.0.0.1\\@evil.example/",
        "http://evil.example\\@127.0.0.1/",
        "http://evil.example#@127.0.0.1/",
        "http://evil.example?@127.0.0.1/",
        "http://evil.example\\.localhost/",
        "http://127.0.0.1%2f@evil.example/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1/",
        "http://[::1]evil.example/",
        "http://127.0.0.1:port/",
    ],
)
def test_every_other_target_and_every_trick_is_refused(url: str) -> None:
    with pytest.raises(TargetNotAllowed, match="load was not sent"):
        AllowedHosts(PATTERNS, "http://base.example/api").check(url)


@pytest.mark.parametrize("number", range(20))
def test_where_two_readers_of_a_url_disagree_it_is_refused(number: int) -> None:
    with pytest.raises(TargetNotAllowed, match="has no unambiguous host"):
        AllowedHosts().check(f"http://evil{number}.example\\@127.0.0.1/")


METADATA = [
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
    "168.63.129.16", "100.100.100.200", "fd00:100::100:200", "192.0.0.192", "fd00:c1::a9fe:a9fe", "169.254.42.42",
    "fd00:42::42", "169.254.0.23", "fd00:a9fe:a9fe::1", "fe80::a9fe:a9fe", "::ffff:169.254.169.254",
    "::ffff:6464:64c8", "FD00:EC2:0:0::254",
]  # fmt: skip


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_allowed_by_their_address_only(address: str) -> None:
    url = f"http://[{address}]/latest/" if ":" in address else f"http://{address}/latest/"
    hosts = AllowedHosts(["metadata.google.internal", "*.example"], "http://base.example/")
    with pytest.raises(TargetNotAllowed, match="--ipload-allow-host"):
        hosts.check(url)
    for name in ("metadata.google.internal", "a.example", "base.example", "localhost"):
        hosts.check(f"http://{name}/")
        with pytest.raises(TargetNotAllowed, match="a metadata service"):
            hosts.check_address(name, address)
    allowed = AllowedHosts([address, "*.example"])
    allowed.check(url)
    allowed.check_address("a.example", address)
    AllowedHosts([], url).check(url)


def test_other_private_addresses_are_not_taken_for_metadata_services() -> None:
    hosts = AllowedHosts(["*.example"])
    for address in ("fd00:ec3::254", "fd20:ce::253", "10.100.100.200", "169.254.169.253", "8.8.8.8"):
        hosts.check_address("a.example", address)
    for host in ("[fd00:ec3::254]", "[fd20:ce::253]", "10.100.100.200"):
        hosts.check(f"http://{host}/")


def test_a_host_alone_is_checked_as_that_of_a_url_is() -> None:
    hosts = AllowedHosts(["shop.test", "*.example.com", "203.0.113.9"])
    for host in ("127.0.0.1", "localhost", "SHOP.test.", "a.example.com", "203.0.113.9", "::ffff:10.0.0.1", "fd00::7"):
        assert hosts.allows(host)
        hosts.check_host(host)
    for host in ("example.com", "203.0.113.8", "169.254.169.254", "2001:db8::1", "", "x" * 300, "\u2488com"):
        assert not hosts.allows(host)
        with pytest.raises(TargetNotAllowed, match="is not in ipload_allowed_hosts; load was not sent"):
            hosts.check_host(host)


def test_the_refusal_names_the_host_and_the_option() -> None:
    with pytest.raises(TargetNotAllowed) as refused:
        AllowedHosts().check("https://user:pw@Shop.example.com:8443/cart?id=1")
    assert str(refused.value) == (
        "'shop.example.com' is not in ipload_allowed_hosts; load was not sent. "
        "Add it with --ipload-allow-host shop.example.com"
    )


def test_an_allowed_origin_does_not_allow_its_neighbours() -> None:
    hosts = AllowedHosts()
    hosts.check("http://127.0.0.1/a")  # remembered
    for url in ("http://127.0.0.1@evil.example/a", "http://127.0.0.1.evil.example/a", "http://127.0.0.1:80@e.example/"):
        with pytest.raises(TargetNotAllowed):
            hosts.check(url)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "*", "*.", "a.*.b", "*x.test", "http://x.test", "x.test:80", "x.test/path", "10.0.0.0/8", "*.10.0.0.1",
        "a b", "-x.test", "x..test", "user@x.test", "127.1", "0x7f.1", "[::1", "x" * 64 + ".test", "*.*.test",
    ],
)  # fmt: skip
def test_a_malformed_pattern_is_a_setting_error(pattern: str) -> None:
    with pytest.raises(SettingError, match="malformed"):
        AllowedHosts([pattern])


def test_one_text_in_the_place_of_a_list_is_a_setting_error() -> None:
    with pytest.raises(SettingError, match="give a list"):
        AllowedHosts("shop.example.com")


def test_a_base_url_without_a_host_is_a_setting_error() -> None:
    with pytest.raises(SettingError, match="no host"):
        AllowedHosts([], "/path")


def test_it_can_be_pickled() -> None:
    hosts = pickle.loads(pickle.dumps(AllowedHosts(["*.x.test"])))
    hosts.check("http://a.x.test/")
    with pytest.raises(TargetNotAllowed):
        hosts.check("http://x.test/")


@given(st.text(alphabet="/:@\\?#[]%.127eviltst", max_size=30))
def test_what_is_allowed_connects_to_an_allowed_host(rest: str) -> None:
    """Whatever is written after ``http://``: if it passes, the host that requests would connect to is local."""
    url = f"http://{rest}"
    try:
        AllowedHosts().check(url)
    except TargetNotAllowed:
        return
    host = urlsplit(url).hostname
    assert host is None or host.startswith(("127.", "::ffff:")) or host == "::1", url
