from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.profile import Skipped, Unmeasured
from aio_tuned.profiles.kept_settings import EARLIER, KeptSettings, kept_settings
from unit.support.builders import (
    device,
    device_info,
    evidence,
    never_measured_profile,
    profile,
    read_only_profile,
    result,
    setting,
)

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Setting

A, B, C = setting(depth=4, threads=4), setting(depth=8, threads=4), setting(depth=16, threads=4)


def of(name: str, which: Setting, **changes: object) -> Profile:
    """Return a measured profile of the drive of that name, with that setting in both directions."""
    made = profile(device=device_info(id=f"eui.{name}", name=name), read=result(setting=which))
    return replace(made, write=result(setting=which), **changes)  # type: ignore[arg-type]


OWN = replace(of("own", A), device=device_info())


# --- whose settings --------------------------------------------------------------------------------------


def test_the_drives_own_earlier_setting_is_kept_and_then_its_siblings() -> None:
    found = kept_settings(device(), [of("z", C), OWN, of("b", B)], None)
    assert found.earlier == OWN
    assert found.settings("read") == (A, B, C)
    assert [found.origin("read", which) for which in (A, B, C)] == [EARLIER, "b", "z"]


def test_siblings_that_differ_are_kept_in_the_order_of_their_names() -> None:
    """All drives of a model come to have one setting, whichever of them is swept when."""
    known = [of("c", C), of("a", A), of("b", B)]
    assert kept_settings(device(), known, None).settings("write") == (A, B, C)
    assert kept_settings(device(), reversed(known), None).settings("write") == (A, B, C)


def test_settings_that_agree_are_kept_once_and_are_the_first_ones() -> None:
    found = kept_settings(device(), [OWN, of("b", A), of("c", A)], None)
    assert found.settings("read") == (A,)
    assert found.origin("read", A) == EARLIER


def test_a_check_keeps_the_sibling_that_it_checks_alone() -> None:
    checked = of("b", B)
    found = kept_settings(device(), [OWN, of("a", C), checked], checked)
    assert found.settings("read") == (B,)
    assert found.origin("read", B) == "b"
    assert found.checked_part("read") == checked.read
    assert kept_settings(device(), [OWN], None).checked_part("read") is None


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(of("b", B, state="provisional"), id="provisional"),
        pytest.param(of("b", B, state="stale"), id="stale"),
        pytest.param(of("b", B, evidence=evidence(measured_at=None), state="provisional"), id="never measured"),
        pytest.param(replace(of("b", B), device=device_info(id="b", model="Another")), id="another model"),
        pytest.param(replace(of("b", B), device=device_info(id="b", firmware="X")), id="another firmware"),
    ],
)
def test_who_has_nothing_to_keep(stranger: Profile) -> None:
    assert kept_settings(device(), [stranger], None) == KeptSettings()


@pytest.mark.parametrize("state", ["measured", "provisional", "stale"])
def test_the_drives_own_setting_is_kept_whatever_has_changed(state: str) -> None:
    """It is measured again, and is kept only if it is good enough still."""
    own = replace(OWN, state=state)  # type: ignore[arg-type]
    assert kept_settings(device(), [own], None).earlier == own


def test_a_drive_that_was_never_measured_has_nothing_to_keep() -> None:
    assert kept_settings(device(), [never_measured_profile()], None) == KeptSettings()
    assert kept_settings(device(), [], None).settings("read") == ()


# --- which sections --------------------------------------------------------------------------------------


def test_a_section_that_was_not_swept_keeps_nothing() -> None:
    found = KeptSettings(earlier=read_only_profile(), siblings=(of("b", B),))
    assert found.settings("read") == (result().setting, B)
    assert found.settings("write") == (B,)
    assert found.settings("combined") == (of("b", B).combined.setting,)  # type: ignore[union-attr]
    assert found.origin("write", result().setting) is None
    assert KeptSettings(checked=replace(OWN, write=Skipped(skipped="x"))).checked_part("write") is None


def test_a_setting_that_the_administrator_has_set_is_kept_too() -> None:
    found = KeptSettings(earlier=replace(OWN, read=Unmeasured(setting=C, overridden=("queue_depth",))))
    assert found.settings("read") == (C,)
    assert found.origin("read", C) == EARLIER
    assert found.origin("read", A) is None


def test_the_setting_for_both_directions_is_kept_by_itself() -> None:
    found = KeptSettings(earlier=OWN)
    assert found.settings("combined") == (OWN.combined.setting,)  # type: ignore[union-attr]
