"""Tests of the stores that histories are moved from: LangChain's own classes write, the tool reads."""
