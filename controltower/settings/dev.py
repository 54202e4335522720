"""The laptop: embedded database, filesystem broker. `make run` sets the environment; in another terminal the commands
of manage.py find it in CONTROLTOWER_HOME."""

import os

from controltower.home import home_of, read_environment

if "DATABASE_URL" not in os.environ:
    os.environ.update(
        {
            key: value
            for key, value in read_environment(home_of(os.environ, os.geteuid())).items()
            if key not in os.environ
        }
    )

from controltower.settings.base import *  # noqa: F403

# pages find their files where they are written; nothing is collected
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
