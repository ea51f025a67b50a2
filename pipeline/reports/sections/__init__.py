"""The report's sections: each asks its questions and says what is so. Unknown is a dash or a word, never a zero."""
