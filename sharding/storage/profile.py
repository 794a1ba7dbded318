"""Settings of S3 that obstore does not find by itself: profiles of ``~/.aws``, plain-HTTP endpoints, a region.

obstore reads the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` and the like) and asks the machine's or the
container's role. It reads no profile; the static keys of one are read here, where the environment has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as SyntaxFault
from pathlib import Path

from clmr.errors import ConfigError

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
OTHER_SOURCES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Credentials of a pod or container; they come before the default profile, and after one that is named."""


def s3_settings(environment: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """What to tell obstore on top of the environment.

    Returns:
        Settings by their name in obstore's ``S3Config``, and whether plain HTTP is allowed.

    Raises:
        ConfigError: ``AWS_PROFILE`` names a profile that is not there or holds no static keys, or a file is damaged.
    """
    profile = _profile(environment)
    settings = {}
    if "AWS_ACCESS_KEY_ID" not in environment and "aws_access_key_id" in profile:
        settings = {
            "access_key_id": profile["aws_access_key_id"],
            "secret_access_key": profile.get("aws_secret_access_key", ""),
        }
        if "aws_session_token" in profile:
            settings["session_token"] = profile["aws_session_token"]
    settings["region"] = (
        environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or profile.get("region", "us-east-1")  # what servers other than Amazon's expect
    )
    endpoint = next((environment[name] for name in ENDPOINTS if environment.get(name)), "")
    if not endpoint and "endpoint_url" in profile:
        endpoint = settings["endpoint"] = profile["endpoint_url"]
    allowed = environment.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true", "yes", "on"}
    return settings, allowed or endpoint.lower().startswith("http://")


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of the profile in use; empty where there is none."""
    named = environment.get("AWS_PROFILE")
    name = named or "default"
    home = Path(environment.get("HOME", "~")).expanduser() / ".aws"
    keys = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials")
    config = Path(environment.get("AWS_CONFIG_FILE") or home / "config")
    found = _section(config, "default" if name == "default" else f"profile {name}")
    held = _section(keys, name)
    if named and not (found or held):
        raise ConfigError(f"AWS_PROFILE={named}: no such profile in {keys} or {config}")
    settings = {**found, **held}
    if "AWS_ACCESS_KEY_ID" in environment or (not named and any(source in environment for source in OTHER_SOURCES)):
        return {name: value for name, value in settings.items() if not name.startswith("aws_")}
    indirect = {"role_arn", "sso_session", "sso_start_url", "credential_process", "source_profile"} & settings.keys()
    if indirect and "aws_access_key_id" not in settings:
        raise ConfigError(
            f"profile {name!r} gets its keys by {min(indirect)}, which is not followed; run "
            f'eval "$(aws configure export-credentials --profile {name} --format env)" first'
        )
    return settings


def _section(path: Path, name: str) -> dict[str, str]:
    # AWS's "default" is a section like any other, and a secret may hold '%'.
    parser = ConfigParser(interpolation=None, default_section="", strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (SyntaxFault, UnicodeDecodeError):  # what they say repeats lines of the file
        raise ConfigError(f"{path}: not a profile file of AWS (INI); see docs/object-storage.md") from None
    return {key: value.strip() for key, value in parser[name].items()} if name in parser else {}
