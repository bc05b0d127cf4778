"""An etcd that all tests of a run share, and stores on it, in memory, and on a stand-in for Kubernetes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from fleet.etcd_cluster import etcd_cluster
from fleet.kube_api import kube_api
from fleet.kube_stores import TOKENS
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


@pytest.fixture(params=["memory", "etcd", "kubernetes"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with ExitStack() as stack:
        cluster = request.getfixturevalue("cluster") if request.param == "etcd" else None
        kube = stack.enter_context(kube_api(TOKENS)) if request.param == "kubernetes" else None
        yield Fleet(cluster, stack, kube)


@pytest.fixture
def etcd_fleet(cluster: EtcdCluster) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(cluster, stack)
