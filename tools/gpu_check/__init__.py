"""Everything that only a machine with a GPU can prove, in one command with a report."""
