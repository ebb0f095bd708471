"""What a webhook does not take is told, without the address, whatever it does instead."""

import socket
import threading
import time

import pytest

from convcg_assets.defs.webhook import NotTaken, post

from .receiver import receiving


def refusal(url: str, *, timeout_s: float = 5.0) -> NotTaken:
    with pytest.raises(NotTaken) as found:
        post(url, {"text": "a"}, timeout_s=timeout_s)
    assert "s3cret" not in f"{found.value!r}{found.value.__cause__!r}"
    return found.value


def test_json_arrives_as_it_was_sent() -> None:
    with receiving() as receiver:
        post(receiver.url, {"text": "Pins of „Füße“", "day": None})
    assert receiver.taken == [{"text": "Pins of „Füße“", "day": None}]


@pytest.mark.parametrize(
    ("status", "is_its_own"),
    [(500, False), (503, False), (404, False), (429, False), (400, True), (413, True)],
)
def test_a_status_that_is_no_success_is_told(status: int, is_its_own: bool) -> None:
    with receiving() as receiver:
        receiver.status = status
        found = refusal(receiver.url)
    assert str(found) == f"the answer was status {status}"
    assert found.is_its_own == is_its_own


def test_a_redirect_is_not_followed() -> None:
    with receiving() as receiver:
        receiver.status = 302
        assert str(refusal(receiver.url)) == "the answer was status 302"
    assert receiver.num_asked == 1


def test_one_that_hangs_is_left() -> None:
    begun = time.monotonic()
    with receiving() as receiver:
        receiver.status = None
        assert str(refusal(receiver.url, timeout_s=0.3)) == "no answer within 0.3 s"
    assert time.monotonic() - begun < 5


def test_one_that_is_down_is_told() -> None:
    with receiving() as receiver:
        url = receiver.url
    assert str(refusal(url)) == "no connection: Connection refused"


def test_one_that_speaks_something_else_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/s3cret"

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail.example.org s3cret\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert str(refusal(url)) == "no HTTP answer (BadStatusLine)"
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "ftp://s3cret/",
        "file:///etc/s3cret",
        "http://",
        "https://s3cret:port/",
        "http://[s3cret/",
        "http://127.0.0.1:9/s3cret with a space\n",
    ],
)
def test_what_is_no_address_is_told_and_not_shown(url: str) -> None:
    refusal(url)
