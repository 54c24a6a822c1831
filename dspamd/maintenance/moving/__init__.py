"""Users who move: out of a site and into another, to another name, or away, with everything of theirs."""
