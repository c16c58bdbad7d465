"""LangChain's messages: their normal form, schema levels and value limits, and rewrites of other shapes."""
