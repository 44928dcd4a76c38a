"""The steps of `isd_ray.campaign.loop`: what each reads and changes of a `isd_ray.campaign.screen.Screen`."""
