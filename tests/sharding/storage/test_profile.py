"""Settings of S3: the environment first, then the profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from clmr.errors import ConfigError
from sharding.storage import place_at
from sharding.storage.profile import s3_settings
from tests.servers.s3 import Server, needs_s3

CREDENTIALS = """
[default]
aws_access_key_id = KEY
aws_secret_access_key = 50%-secret
[lab]
aws_access_key_id = LABKEY
aws_secret_access_key = lab/secret=
aws_session_token = token
"""
CONFIG = """
[default]
region = eu-west-1
s3 =
    max_concurrent_requests = 20
[profile lab]
region = eu-north-1
endpoint_url = http://lab:9000
[profile sso]
sso_session = uni
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(CREDENTIALS)
    (tmp_path / ".aws/config").write_text(CONFIG)
    return {"HOME": str(tmp_path)}


def test_without_anything(tmp_path: Path) -> None:
    assert s3_settings({"HOME": str(tmp_path)}) == ({"region": "us-east-1"}, False)


def test_the_default_profile(home: dict[str, str]) -> None:
    keys = {"access_key_id": "KEY", "secret_access_key": "50%-secret", "region": "eu-west-1"}
    assert s3_settings(home) == (keys, False)
    assert s3_settings({**home, "AWS_REGION": "x"})[0]["region"] == "x"
    assert s3_settings({**home, "AWS_DEFAULT_REGION": "x"})[0]["region"] == "x"


def test_a_named_profile(home: dict[str, str]) -> None:
    settings, plain = s3_settings({**home, "AWS_PROFILE": "lab"})
    assert settings == {
        "access_key_id": "LABKEY",
        "secret_access_key": "lab/secret=",
        "session_token": "token",
        "region": "eu-north-1",
        "endpoint": "http://lab:9000",
    }
    assert plain


def test_the_environment_comes_first(home: dict[str, str]) -> None:
    settings, plain = s3_settings(
        {**home, "AWS_PROFILE": "lab", "AWS_ACCESS_KEY_ID": "mine", "AWS_ENDPOINT_URL": "https://here"}
    )
    assert settings == {"region": "eu-north-1"}
    assert not plain
    # The keys of a pod or container come before the default profile's.
    assert s3_settings({**home, "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}) == ({"region": "eu-west-1"}, False)


def test_plain_http(tmp_path: Path) -> None:
    for environment, plain in (
        ({"AWS_ENDPOINT_URL": "http://here"}, True),
        ({"AWS_ENDPOINT_URL": "http://here", "AWS_ENDPOINT_URL_S3": "https://there"}, False),
        ({"AWS_ENDPOINT_URL": "https://here", "AWS_ALLOW_HTTP": "true"}, True),
        ({"AWS_ALLOW_HTTP": "false"}, False),
    ):
        assert s3_settings({"HOME": str(tmp_path), **environment})[1] is plain


def test_other_files(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = OTHER\naws_secret_access_key = s\n")
    (tmp_path / "settings").write_text("[default]\nregion = other\n")
    files = {"AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/keys", "AWS_CONFIG_FILE": f"{tmp_path}/settings"}
    settings, _ = s3_settings({**home, **files})
    assert settings == {"access_key_id": "OTHER", "secret_access_key": "s", "region": "other"}


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("nobody", r"AWS_PROFILE=nobody: no such profile in .*/\.aws/credentials or .*/\.aws/config"),
        ("sso", r"profile 'sso' gets its keys by sso_session, which is not followed; run eval .* --profile sso"),
    ],
)
def test_profiles_that_cannot_be_used(home: dict[str, str], profile: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        s3_settings({**home, "AWS_PROFILE": profile})


def test_a_damaged_file_is_named_and_not_quoted(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".aws/credentials").write_text("aws_secret_access_key = hunter2\n[default")
    with pytest.raises(ConfigError, match=r"\.aws/credentials: not a profile file") as caught:
        s3_settings(home)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


@needs_s3
def test_a_server_is_used_with_a_profile(
    bucket: str, s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in s3_server.environment():
        monkeypatch.delenv(name)
    access, secret = s3_server.keys
    (tmp_path / "keys").write_text(f"[lab]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    (tmp_path / "settings").write_text(f"[profile lab]\nendpoint_url = {s3_server.endpoint}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/keys")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/settings")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    place_at(bucket).write("song", b"data")
    assert place_at(bucket).read("song") == b"data"
