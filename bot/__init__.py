"""The door WeChat comes in by: the callback, WeRoBot, and what the chat answers."""
