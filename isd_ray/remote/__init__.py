"""Campaigns on a cluster from elsewhere: jobs, coordinators and whoever is attached to them, the doctor."""
