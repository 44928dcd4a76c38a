"""Pure decisions of a hybrid screen: numpy and the standard library only."""
