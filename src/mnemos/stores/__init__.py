"""Where rows and bytes are kept: one file per engine, all held to one conformance suite."""
