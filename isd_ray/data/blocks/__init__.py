"""Named blocks of dense features beside the main features of a library: computed, given, or from earlier screens."""
