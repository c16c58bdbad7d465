"""Which rows are good: schema levels, Convex's value limits, and what other shapes can be rewritten to.

`sync_tool.messages.check.Checker` is the door: a fast check that good rows pass, and for the others an
explanation of every fault.
"""
