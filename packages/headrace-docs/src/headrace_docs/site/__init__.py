"""The pages of the site, from a description of a project to HTML. They read no state."""
