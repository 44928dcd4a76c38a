"""The web page of the laboratory: what is out, what came back, what to do now. It computes nothing."""
