"""[fleet]: what it needs when it is enabled, and errors that show neither passwords nor private keys."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import load_config, parse_config
from aio_tuned.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "NzubEzjE6xs/ZFdlr9ZRtLl7NcMsRyt5zD/CFiwJ8WM="
ENOUGH = {
    "enabled": "true",
    "endpoints": '["https://etcd-1:2379"]',
    "ca_file": '"/etc/aio-tuned/ca.pem"',
    "trusted_keys": f'["{KEY}"]',
}


def load(folder: Path, keys: dict[str, str]) -> object:
    file = folder / "aio-tuned.conf"
    file.write_text("[fleet]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
    return load_config(file)


def refused(key: str, value: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[fleet]\n{key} = {value}\n", "x")
    message = str(caught.value)
    assert message.startswith(f"x: [fleet] {key}: ")
    return message


# --- the whole section -----------------------------------------------------------------------------------


def test_a_fleet_with_endpoints_authority_and_keys_is_complete(tmp_path: Path) -> None:
    load(tmp_path, ENOUGH)


@pytest.mark.parametrize("missing", ["endpoints", "ca_file", "trusted_keys"])
def test_what_a_fleet_on_etcd_lacks_is_named_with_the_remedy(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"aio-tuned\.conf: \[fleet\] {missing}: not set.*, or set enabled = false"):
        load(tmp_path, {key: value for key, value in ENOUGH.items() if key != missing})


def test_a_fleet_on_kubernetes_needs_keys_alone(tmp_path: Path) -> None:
    kubernetes = {"enabled": "true", "store": '"kubernetes"', "trusted_keys": f'["{KEY}"]'}
    load(tmp_path, kubernetes)
    with pytest.raises(ConfigError, match=r"\[fleet\] trusted_keys: not set"):
        load(tmp_path, kubernetes | {"trusted_keys": "[]"})


def test_a_fleet_that_is_not_enabled_needs_nothing(tmp_path: Path) -> None:
    load(tmp_path, {"enabled": "false", "endpoints": '["https://etcd-1:2379"]'})


def test_http_is_for_a_proxy_to_kubernetes_on_this_host_alone(tmp_path: Path) -> None:
    proxy = {"endpoints": '["http://127.0.0.1:8001"]'}
    load(tmp_path, ENOUGH | proxy | {"store": '"kubernetes"'})
    with pytest.raises(ConfigError, match=r"\[fleet\] endpoints: item 1 is not an https URL, which etcd needs"):
        load(tmp_path, ENOUGH | proxy)


def test_the_parts_of_a_section_may_be_in_several_files(tmp_path: Path) -> None:
    (tmp_path / "aio-tuned.conf.d").mkdir()
    (tmp_path / "aio-tuned.conf.d" / "fleet.conf").write_text("[fleet]\nenabled = true\n")
    load(tmp_path, {key: value for key, value in ENOUGH.items() if key != "enabled"})


# --- endpoints -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://etcd-1:2379",
        "etcd-1:2379",
        "https://",
        "https://etcd-1:0",
        "https://etcd-1:port",
        "https://[::1",
        "https://etcd-1:2379/v3",
        "https://etcd-1:2379/?a=b",
        "https://etcd-1:2379#a",
        "https://etcd 1:2379",
    ],
)
def test_an_endpoint_without_tls_or_with_more_than_a_host_is_refused(endpoint: str) -> None:
    assert 'item 2 is not the https URL of a host; write it as "https://etcd-1:2379"' in refused(
        "endpoints", f'["https://etcd-1:2379", "{endpoint}"]'
    )


@pytest.mark.parametrize("endpoint", ["https://etcd-1:2379", "https://10.0.0.1", "https://[fd00::1]:2379/"])
def test_an_endpoint_may_be_a_name_or_an_address(endpoint: str) -> None:
    assert parse_config(f'[fleet]\nendpoints = ["{endpoint}"]\n', "x").fleet_endpoints == (endpoint,)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ('["https://root:hunter2@etcd-1:2379"]', "credential `password`"),
        ('["root:hunter2@etcd-1:2379"]', "credential `password`"),
        ('"https://root:hunter2@etcd-1:2379"', 'write ["https://etcd-1:2379"], or [] for none'),
        ('["https://root:hunter2@etcd-1:2379", 3]', 'write ["https://etcd-1:2379"], or [] for none'),
    ],
)
def test_the_password_of_an_endpoint_is_not_shown(value: str, remedy: str) -> None:
    message = refused("endpoints", value)
    assert "hunter2" not in message
    assert remedy in message


# --- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        '""',
        '"KEY"',
        f'"{KEY[:-1]}"',
        f'"{KEY[:-2]}N="',
        f'" {KEY}"',
        '"MC4CAQAwBQYDK2VwBCIEIFeQnS9C0F5B0rkvI8cVwUkmZF0e0G2f1K0kG3cZ0vJx"',
        '"""-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIFeQnS9C0F5B0rkvI8cV\n-----END PRIVATE KEY-----\n"""',
    ],
)
def test_what_is_no_public_key_is_refused_and_not_shown(key: str) -> None:
    message = refused("trusted_keys", f'["{KEY}", {key}]')
    assert "key 2 is not a public key of 32 bytes in base64" in message
    assert "MC4CAQAwBQYDK2VwBCIEI" not in message


def test_keys_are_a_list_and_one_that_is_there_twice_counts_once() -> None:
    assert 'write ["KEY"], or [] for none' in refused("trusted_keys", f'"{KEY}"')
    assert parse_config(f'[fleet]\ntrusted_keys = ["{KEY}", "{KEY}"]\n', "x").fleet_trusted_keys == (KEY,)


def test_neither_the_check_nor_the_configuration_loads_cryptography_or_the_fleet(tmp_path: Path) -> None:
    load(tmp_path, ENOUGH)
    text = (
        "import sys; from pathlib import Path; from aio_tuned.config.load import load_config;"
        f" load_config(Path({str(tmp_path / 'aio-tuned.conf')!r}));"
        " print([name for name in sys.modules if name.startswith(('cryptography', 'etcd3gw', 'aio_tuned.fleet'))])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
