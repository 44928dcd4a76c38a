"""The certificate of a campaign as an object for people; its file is `isd_ray.campaign.certificate`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isd_ray.campaign.amend import no_longer_claimed, upheld_words
from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.claimed import is_unverified
from isd_ray.campaign.store import CampaignStore
from isd_ray.card import card, paragraphs
from isd_ray.core.goals import UNVERIFIED


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a passed look proves of a hybrid screen.

    Attributes
    ----------
    content:
        The content of ``certificate.json``.
    withdrawn:
        Why it was withdrawn, or has to be; None if it stands.
    upheld:
        In words, what was corrected since and leaves it standing; None if nothing was.
    """

    content: Mapping[str, Any]
    withdrawn: str | None = None
    upheld: str | None = None

    @classmethod
    def of(cls, store: CampaignStore) -> Certificate | None:
        """The certificate of a campaign; None without one."""
        content = store.certificate()
        return None if content is None else cls(content, no_longer_claimed(store), upheld_words(store))

    @property
    def id(self) -> str:
        """Its name, made from all that it says."""
        return str(self.content["certificate_id"])

    @property
    def stands(self) -> bool:
        """Whether it was not withdrawn, and need not be."""
        return self.withdrawn is None

    @property
    def lines(self) -> list[str]:
        """What is guaranteed, by what proof and under which assumptions."""
        lines = certificate_lines(self.content)
        if self.upheld is not None:
            lines.insert(2, self.upheld)
        return lines if self.stands else [f"WITHDRAWN: {self.withdrawn}. What follows is claimed no more.", *lines]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def __repr__(self) -> str:
        unverified = f", {UNVERIFIED}" if is_unverified(self.content["claim"].get("checks", ())) else ""
        return f"Certificate({self.id!r}{'' if self.stands else ', WITHDRAWN'}{unverified})"

    def _repr_html_(self) -> str:
        return card("Certificate" if self.stands else "Certificate, WITHDRAWN", paragraphs(self.lines))
