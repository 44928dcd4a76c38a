"""The stopping rules, one in each file; `isd_ray.config.rules` has them by name."""
