"""Commands that change something: the process that leads carries them out, one after another."""
