"""What is wrong with one field of something that came from outside, in the words of the rule that it breaks."""

from pydantic_core import ErrorDetails


def in_plain_words(error: ErrorDetails) -> str:
    """Before what a rule of ours says, pydantic names the kind of exception that said it."""
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]
