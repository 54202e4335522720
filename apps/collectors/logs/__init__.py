"""Event logs of process mining, in and out: XES (IEEE 1849) and OCEL 2.0 (JSON, XML, SQLite).

Readers turn a file of any size into rows, plain JSON objects that `interpretation` or a mapping makes events of:

XES   {"case": {key: value}, "number": place in its trace from 1, "event": {key: value}}
OCEL  {"id": .., "type": .., "time": .., "attributes": {name: value}, "objects": {type: [{"id": .., "qualifier": ..}]}}
"""
