"""Tests that plug-ins have to pass, as classes to inherit from; they need pytest, which isd_ray itself does not."""
