"""Deleting from a source what every required sink is proven to hold."""
