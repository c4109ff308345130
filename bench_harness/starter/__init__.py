"""What a repository starts with: an asv configuration, a first benchmark, rules, and workflows."""
