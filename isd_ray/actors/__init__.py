"""The Ray side of a campaign: thin actors over pure code, and the backend that drives them."""
