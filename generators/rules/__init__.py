"""The rules of generators, one small function each; ``generators.conformance`` says which capability has which.

A rule is given the subject and the name of a capability. It returns one sentence where it holds; it raises
``Violation`` with one where it does not, and ``NotApplicable`` where it has nothing to say. Whatever else is raised in
it is the generator's error, and the rule's failure.
"""
