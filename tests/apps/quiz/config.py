SECRET_KEY = "the quiz of the spring term"
