"""What the entry points share: who is asking, who may enter, errors, headers, forms, pages and where to go next."""
