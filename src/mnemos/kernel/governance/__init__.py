"""Who may do what with which memory: views, grants, trust, quarantine, redaction, audit."""
