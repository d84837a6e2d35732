"""Settings: ``detseg.toml``, ``DETSEG_*`` variables over it, flags over both; read once, at the edge."""

from detseg.config.classes import ClassSettings
from detseg.config.files import ENV_PREFIX, FILE_NAME, find_option, load_settings, settings_template
from detseg.config.settings import Settings

__all__ = [
    "ENV_PREFIX",
    "FILE_NAME",
    "ClassSettings",
    "Settings",
    "find_option",
    "load_settings",
    "settings_template",
]
