"""Other places where LangChain keeps chat histories, read message by message."""
