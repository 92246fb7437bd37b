"""Page: what goes on in an installation, to look at in a browser; ``arvo-plpg serve``.

Needs the extra ``page``. See ``docs/page.md``.
"""

from arvo_plpg.page.app import create_app
from arvo_plpg.page.options import PageOptions

__all__ = ["PageOptions", "create_app"]
