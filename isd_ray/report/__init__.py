"""What people see: live progress, the summary in words, figures, and the HTML report."""
