"""The intermediate representation: the `ft` dialect derived from the op table, its interpreter, its passes."""
