"""An etcd that all tests of a run share, and stores on it and in memory."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from fleet.etcd_cluster import etcd_cluster
from fleet.shared_stores import USERS, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet.etcd_cluster import EtcdCluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as made:
        for user, rights in USERS.items():
            made.add_user(user, rights)
        yield made


@pytest.fixture(params=["memory", "etcd"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(request.getfixturevalue("cluster") if request.param == "etcd" else None, stack)


@pytest.fixture
def etcd_fleet(cluster: EtcdCluster) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(cluster, stack)
