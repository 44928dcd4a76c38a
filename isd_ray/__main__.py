"""The `isd` command as a module: ``python -m isd_ray``."""

from isd_ray.cli import main

if __name__ == "__main__":
    main()
