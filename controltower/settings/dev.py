"""The laptop: embedded database, filesystem broker; `make run` sets the environment."""

from controltower.settings.base import *  # noqa: F403
