"""The WSGI application: the doors of the collectors first, then Django."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controltower.settings.dev")
django_application = get_wsgi_application()

from apps.collectors.doors import Doors  # noqa: E402 (needs the applications loaded)
from apps.core.charsets import TextCharsets  # noqa: E402
from apps.core.tuning import calm_collector  # noqa: E402

application = Doors(TextCharsets(django_application))

calm_collector()  # a page makes ten thousands of small objects and hardly a cycle; what was loaded is not looked through again
