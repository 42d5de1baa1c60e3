"""File formats for Headrace that come from offices, mainframes and banks; one module each."""
