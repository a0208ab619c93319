"""One file for each step that the tables have taken. What was released is never changed."""
