"""The steps of `isd_ray.campaign.loop`: each takes a stage of `isd_ray.campaign.stages` and returns the next."""
