"""The operating system: journal, versions, pages, life cycle; knows no method, vendor or framework."""
