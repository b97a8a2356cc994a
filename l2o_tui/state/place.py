"""Where preferences are kept: known without the screens, whose preferences they are."""

from pathlib import Path

from platformdirs import user_config_path


def preferences_path() -> Path:
    """Return where the preferences are kept."""
    return user_config_path("l2o-tui") / "preferences.toml"
