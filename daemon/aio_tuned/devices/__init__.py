"""The identity and the use of drives, and the decision whether to sweep them."""
