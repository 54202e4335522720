"""EDI as it comes over the wire: one reader per syntax (X12, EDIFACT), one interpreter, and tables for the meaning.

reader.read(body)      bytes -> transactions in their envelopes, and what was wrong with the envelopes
interpret.interpret()  one transaction and its message table -> canonical events
tables/                the messages, references, dates, parties and status codes, as data
"""
