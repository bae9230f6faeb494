"""Forward authentication for reverse proxies of other applications."""
