"""The coordinators of a cluster served over HTTP: the verbs of campaigns for those who are no node of it."""
