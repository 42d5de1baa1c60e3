"""Challenges: inject faults into published rows and report which checks notice them."""
