"""How fast, and against what: the course's code beside code in the textbook manner, by turns."""
