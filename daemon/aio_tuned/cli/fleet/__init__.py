"""The commands of `aio-tuned fleet`: its two programs, and what operators of many nodes use."""
