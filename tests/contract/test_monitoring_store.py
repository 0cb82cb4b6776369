"""What every store of the monitoring's documents promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.errors import Unavailable
from quicksilver.monitoring import Kind, MonitoringStore, Window

everywhere_but_lean = pytest.mark.parametrize(
    "make_client",
    ["memory", "moto", pytest.param("emulator", marks=pytest.mark.integration)],
    indirect=True,
)
"""The lean clients are the score function's, which watches nothing."""

pytestmark = everywhere_but_lean


def test_what_nobody_has_kept_is_none(monitoring_store: MonitoringStore) -> None:
    assert monitoring_store.get(Kind.DRIFT, "card-fraud", "1") is None
    assert list(monitoring_store.names(Kind.DRIFT, "card-fraud")) == []


def test_a_document_takes_the_place_of_the_one_before(monitoring_store: MonitoringStore) -> None:
    for document in (b"{}", b'{"revision": 2}'):
        monitoring_store.put(Kind.DRIFT, "card-fraud", "1", document)
    assert monitoring_store.get(Kind.DRIFT, "card-fraud", "1") == b'{"revision": 2}'
    assert monitoring_store.get(Kind.REPORT, "card-fraud", "1") is None
    assert monitoring_store.get(Kind.DRIFT, "credit-line", "1") is None


def test_a_page_is_kept_where_an_alarm_says_that_it_is(
    monitoring_store: MonitoringStore, make_client: Any, name: str
) -> None:
    monitoring_store.put(Kind.REPORT, "card-fraud", "1", b"<html>")
    assert monitoring_store.get(Kind.REPORT, "card-fraud", "1") == b"<html>"
    assert list(monitoring_store.names(Kind.REPORT, "card-fraud")) == ["1"]
    if make_client is not None:
        page = make_client("s3").head_object(Bucket=name, Key="monitoring/report/card-fraud/1.html")
        assert page["ContentType"] == "text/html; charset=utf-8"


def test_a_claim_is_made_once_and_leaves_what_is_there(monitoring_store: MonitoringStore) -> None:
    assert monitoring_store.claim(Kind.RETRAIN, "card-fraud", "1", b"first")
    assert not monitoring_store.claim(Kind.RETRAIN, "card-fraud", "1", b"second")
    assert not monitoring_store.claim(Kind.RETRAIN, "card-fraud", "1", b"first")
    assert monitoring_store.get(Kind.RETRAIN, "card-fraud", "1") == b"first"


def test_of_many_claims_at_once_one_is_kept(monitoring_store: MonitoringStore) -> None:
    documents = [str(number).encode() for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        kept = list(
            pool.map(lambda one: monitoring_store.claim(Kind.RETRAIN, "card-fraud", "1", one), documents)
        )
    assert sum(kept) == 1
    assert monitoring_store.get(Kind.RETRAIN, "card-fraud", "1") == documents[kept.index(True)]


def test_names_come_in_the_order_of_their_windows_from_where_they_are_asked_for(
    monitoring_store: MonitoringStore,
) -> None:
    windows = [Window(start_ms=start, end_ms=start + 1_000) for start in (9_000, 10_000, 123_000)]
    for window in reversed(windows):
        monitoring_store.put(Kind.DRIFT, "card-fraud", window.name, b"{}")
    monitoring_store.put(Kind.DRIFT, "card-fraud-2", windows[0].name, b"{}")
    assert list(monitoring_store.names(Kind.DRIFT, "card-fraud")) == [window.name for window in windows]
    since = windows[1].name
    assert list(monitoring_store.names(Kind.DRIFT, "card-fraud", since=since)) == [
        window.name for window in windows[1:]
    ]


def test_a_bucket_that_is_not_there_is_unavailable(make_client: Any) -> None:
    if make_client is None:
        pytest.skip("there is no bucket in memory")
    store = S3MonitoringStore(make_client("s3"), "nothing-there")
    for call in (
        lambda: store.put(Kind.DRIFT, "card-fraud", "1", b""),
        lambda: store.claim(Kind.DRIFT, "card-fraud", "1", b""),
        lambda: store.get(Kind.DRIFT, "card-fraud", "1"),
        lambda: list(store.names(Kind.DRIFT, "card-fraud")),
    ):
        with pytest.raises(Unavailable, match="NoSuchBucket"):
            call()
