"""Generators and discriminators, a module for each paper."""
