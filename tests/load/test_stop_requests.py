from __future__ import annotations

from pytest_ipload.load.stop_requests import StopRequests


def test_the_first_reason_counts_and_each_hurry_is_seen_once() -> None:
    requests = StopRequests()
    assert (requests.reason, requests.is_urgent) == (None, False)
    requests.add("a threshold", hurry=False)
    requests.add("Ctrl-C", hurry=True)
    assert (requests.reason, requests.is_urgent, requests.is_repeated) == ("a threshold", True, False)
    requests.see()
    assert not requests.is_urgent
    requests.add("Ctrl-C", hurry=True)
    assert requests.is_urgent
    assert requests.is_repeated
