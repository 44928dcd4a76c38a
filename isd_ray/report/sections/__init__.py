"""The parts of a campaign's report, each a function from its record to a section, or None where there is nothing."""

from isd_ray.report.sections.accuracy import accuracy, batch_accuracy
from isd_ray.report.sections.acquired import acquired
from isd_ray.report.sections.compounds import compounds
from isd_ray.report.sections.confidence import calibration, confidence
from isd_ray.report.sections.cost import cost
from isd_ray.report.sections.glossary import glossary
from isd_ray.report.sections.headline import headline
from isd_ray.report.sections.history import configuration, events, rounds
from isd_ray.report.sections.hits import hits
from isd_ray.report.sections.plates import plates
from isd_ray.report.sections.race import race

SECTIONS = (
    headline,
    accuracy,
    acquired,
    batch_accuracy,
    race,
    calibration,
    confidence,
    hits,
    cost,
    compounds,
    plates,
    events,
    rounds,
    configuration,
    glossary,
)
"""In the order of the page."""
