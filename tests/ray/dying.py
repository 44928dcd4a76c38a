"""An actor that dies of every call; nothing is imported for it, so that many of them die soon."""

import os


class Dying:
    def ready(self) -> None:
        pass

    def work(self) -> None:
        os._exit(1)
